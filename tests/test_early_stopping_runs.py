"""`certify --stop-at-radius`: what it plans and refuses, and real workers that stop."""

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alone import alone
from commands import call
from test_certify import one_line, photos, recipe

from cli.certify import check_reach
from db.errors import WrongUse

__all__ = ["photos"]  # a fixture

IMAGES, N0, N = 4, 10, 200
CERTIFY = (
    "--model", "efficientnet_lite0", "--sigma", "0.05", "--n0", str(N0), "--n", str(N), "--resize", "96",
    "--crop", "96", "--job-size", "1", "--stop-at-radius", "0.02",
)  # fmt: skip


# -- flags -------------------------------------------------------------------------------------------------------


def test_a_dry_run_cuts_jobs_at_the_looks(tmp_path: Path, photos: Path) -> None:
    flags = ("--model", "efficientnet_lite0", "--sigma", "0.25", "--n", "300", "--stop-at-radius", "0.25")
    plan = json.loads(call("certify", photos, *flags, "--dry-run", cwd=tmp_path).stdout)
    # Looks at 100, 200 and 300: jobs of 200, 100 and 100 copies, and 1,000 views fit all three images.
    assert (plan["copies"], plan["jobs"]) == (400, 3)
    stop = {name: plan["recipe"][name] for name in ("stop_radius", "stop_alpha", "stop_n")}
    assert stop == {"stop_radius": 0.25, "stop_alpha": 0.001, "stop_n": 300}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("0", "--n", "100"), "--stop-at-radius: input should be greater than 0 (given: 0.0)"),
        # All 100 copies with one label: .25 · Φ⁻¹(.001^(1/100)) = .375; one look, so the whole α.
        (("0.5", "--n", "100"), "--stop-at-radius 0.5: 100 copies at σ = 0.25 certify at most radius 0.375, even if all have one label; give a smaller radius, a larger --n or a larger --sigma"),
    ],
)  # fmt: skip
def test_a_radius_that_can_never_be_certified_is_refused_before_anything_is_recorded(
    tmp_path: Path, photos: Path, given: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one_line("certify", photos, "--stop-at-radius", *given) == said
    assert not (tmp_path / ".smoothvote").exists()


def test_a_radius_that_one_sigma_reaches_is_taken() -> None:
    stops = {"stop_radius": 0.5, "stop_alpha": 0.001, "stop_n": 100}
    check_reach(recipe(sigma=(0.25, 0.5), **stops))
    check_reach(recipe(sigma=(0.25,)))
    with pytest.raises(WrongUse):
        check_reach(recipe(sigma=(0.25,), **stops))


# -- real workers ------------------------------------------------------------------------------------------------


def copies(home: Path) -> list[int]:
    with sqlite3.connect(home / ".smoothvote" / "smoothvote.db") as record:
        query = "SELECT sum(n) FROM counts GROUP BY image_id ORDER BY image_id"
        return [total for (total,) in record.execute(query)]


def rows(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in call("export", "--format", "jsonl", cwd=home).stdout.splitlines()]


def test_images_that_have_stopped_get_no_more_copies_and_two_workers_find_the_same(
    tmp_path: Path, photographs: list[Path], clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "eager")
    folder, one, two = (tmp_path / name for name in ("photographs", "one", "two"))
    folder.mkdir()
    for photograph in photographs[:IMAGES]:
        shutil.copy2(photograph, folder)

    report = json.loads(alone("certify", folder, *CERTIFY, "--format", "json", cwd=one).stdout)
    alone("certify", folder, *CERTIFY, "--workers", "2", cwd=two)

    found = rows(one)
    stops = [row["n"] for row in found]
    assert set(stops) == {100, 200}
    # One worker does the jobs in their order, and never draws a copy that is not needed.
    assert copies(one) == [N0 + n for n in stops]
    assert report["complete"]
    assert report["stopping"]["mean_copies"] == sum(stops) / IMAGES
    # Two may draw some ahead, which do not count.
    assert all(more >= needed for more, needed in zip(copies(two), copies(one), strict=True))
    assert rows(two) == found
