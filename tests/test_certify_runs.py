"""Certificates end to end: real photographs and weights, a worker that is killed, copies that are added."""

import json
import shutil
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from alone import alone
from commands import call
from test_run import half_way

IMAGES = 4
N0 = 10
#: Small inputs, so that a copy takes a CPU some milliseconds.
CERTIFY = (
    "--model", "efficientnet_lite0", "--sigma", "0.05,0.1", "--n0", str(N0), "--resize", "96", "--crop", "96",
    "--job-size", "1",
)  # fmt: skip


@pytest.fixture
def eager(clean_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine that takes no time to be made."""
    monkeypatch.setenv("SMOOTHVOTE_ENGINE", "eager")


@pytest.fixture
def folder(tmp_path: Path, photographs: list[Path]) -> Path:
    """Photographs without labels."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photograph in photographs[:IMAGES]:
        shutil.copy2(photograph, folder)
    return folder


def read(home: Path, query: str) -> list[Any]:
    with sqlite3.connect(home / ".smoothvote" / "smoothvote.db") as record:
        return record.execute(query).fetchall()


def labels(home: Path) -> Counter[tuple[Any, ...]]:
    """Copies by image, level, whether they select, and label."""
    found: Counter[tuple[Any, ...]] = Counter()
    for image, level, part, label, n in read(home, "SELECT image_id, level, part, label, n FROM counts"):
        found[image, level, part < N0, label] += n
    return found


def done_jobs(home: Path) -> set[Any]:
    return set(
        read(home, "SELECT id, done_at, attempts, copies_first, copies_last FROM jobs WHERE done_at IS NOT NULL")
    )


@pytest.mark.usefixtures("eager")
def test_kills_more_workers_and_more_copies_later_change_no_count(tmp_path: Path, folder: Path) -> None:
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    grown.mkdir()
    alone("certify", folder, *CERTIFY, "--n", "50", cwd=whole)

    few = ("certify", folder, *CERTIFY, "--n", "20")
    with half_way(*few, cwd=grown) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    before = done_jobs(grown)
    assert {job[3:] for job in before} == {(0, 29)}
    done = alone("certify", folder, *CERTIFY, "--n", "50", "--workers", "2", "--format", "json", cwd=grown)
    report = json.loads(done.stdout)
    # What was done stays as it was, what was begun is resumed, and copies 30 to 59 are computed in jobs of their own.
    assert before < done_jobs(grown)
    assert Counter(job[3:] for job in done_jobs(grown)) == {(0, 29): IMAGES, (30, 59): IMAGES}

    assert sum(labels(grown).values()) == IMAGES * 2 * (N0 + 50)
    assert labels(grown) == labels(whole)
    assert [level["predicted"] for level in report["levels"]] == [IMAGES, IMAGES]

    # Fewer copies are there already: nothing is sent, and the report is about them.
    after = done_jobs(grown)
    again = call(*few, "--format", "json", cwd=grown)
    assert (json.loads(again.stdout)["n"], done_jobs(grown)) == (20, after)
    assert "worker process" not in again.stderr
    assert json.loads(call("report", "--n", "20", "--format", "json", cwd=grown).stdout) == json.loads(again.stdout)
    said = call("status", cwd=grown).stdout
    assert (
        f"complete, {IMAGES} of {IMAGES} images done (0 failed, 0 skipped), {IMAGES * 60} of {IMAGES * 60} copies"
        in said
    )
