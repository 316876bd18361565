"""The certificates of each image, for exports and notebooks: worked out by hand, in both databases."""

import io
import json
import math
from statistics import NormalDist

import pytest
from certificates import N0, Labels, N, by_hand, certified_run, example
from rows import make_run
from scipy.stats import beta, norm
from sqlalchemy import Engine

import smoothvote
from db.copies import Part
from db.errors import WrongUse
from db.runs import RunInfo
from db.session import reading
from db.settings import Settings
from report import certified_rows
from report.certified_rows import COLUMNS, certificate_pages
from report.export import write_run
from report.exports import EXPORTS
from report.rows import pages
from report.story import story

FULL = 0.001 ** (1 / 100)


def listed(engine: Engine, run: RunInfo, **options: object) -> list[dict[str, object]]:
    with reading(engine) as session:
        found = [*certificate_pages(session, run, **options)]  # type: ignore[arg-type]
    return [dict(zip(page, row, strict=True)) for page in found for row in zip(*page.values(), strict=True)]


def test_each_image_has_a_row_at_each_level_and_a_failed_one_has_one(engine: Engine) -> None:
    rows = listed(engine, example(engine))
    assert [(row["path"], row["level"]) for row in rows[:4]] == [
        ("0.jpg", 0.25),
        ("0.jpg", 0.5),
        ("1.jpg", 0.25),
        ("1.jpg", 0.5),
    ]
    assert len(rows) == 6 * 2 + 1  # the last image is pending
    assert [row["outcome"] for row in rows[::2]] == [
        "right", "wrong", "abstained", "right", "abstained", "unlabelled", "failed",
    ]  # fmt: skip
    first, tie, abstained, unlabelled, failed = rows[0], rows[6], rows[8], rows[10], rows[12]
    assert (first["label"], first["certified_label"], first["selected"], first["hits"], first["n"]) == (
        1,
        1,
        10,
        100,
        N,
    )
    assert first["p_lower"] == pytest.approx(FULL)
    assert first["radius"] == pytest.approx(0.25 * NormalDist().inv_cdf(FULL))
    assert (tie["certified_label"], tie["selected"], tie["hits"], tie["predict_label"]) == (1, 5, 90, 1)
    # Two labels: the selected one has 5 of 100, and PREDICT answers with the other.
    assert (abstained["certified_label"], abstained["radius"], abstained["abstained"]) == (None, None, True)
    assert (abstained["hits"], abstained["predict_label"]) == (5, 1)
    assert abstained["p_lower"] == pytest.approx(beta.ppf(0.001, 5, 96))
    assert (unlabelled["label"], unlabelled["label_name"], unlabelled["certified_label"]) == (None, None, 7)
    assert (failed["code"], failed["message"], failed["level"], failed["abstained"]) == ("truncated", "why", None, None)


def test_classes_are_named(engine: Engine) -> None:
    first = listed(engine, example(engine))[0]
    assert first["label_name"] == first["certified_label_name"] == "goldfish"


def test_a_level_another_alpha_and_some_columns(engine: Engine) -> None:
    run = example(engine)
    rows = listed(engine, run, level=0.5, alpha=0.05, columns=["path", "radius"])
    assert [*rows[0]] == ["path", "radius"]
    assert [row["path"] for row in rows] == [f"{number}.jpg" for number in range(6)]
    assert rows[2]["radius"] == pytest.approx(0.5 * norm.ppf(beta.ppf(0.05, 60, 41)))
    with pytest.raises(WrongUse, match="there is no column 'label_ns'"):
        listed(engine, run, columns=["label_ns"])
    with pytest.raises(WrongUse, match=r"has no level 0\.3; it has 0\.25, 0\.5"):
        listed(engine, run, level=0.3)


def test_many_pages_are_the_same_rows_in_order(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    run = example(engine)
    whole = listed(engine, run)
    monkeypatch.setattr(certified_rows, "PAGE", 4)
    assert listed(engine, run) == whole


def test_rows_and_reports_agree(engine: Engine) -> None:
    def draw(position: int, level: float, part: Part) -> Labels:
        return {1: part.size - position % 50, 2: position % 50} if position % 50 else {1: part.size}

    run = certified_run(
        engine, [1, 1, 2] * 40, lambda *drawn: draw(drawn[0] // 4, *drawn[1:]) if drawn[2].first else {1: N0}
    )
    rows = listed(engine, run)
    found = smoothvote.certified(run.id, database_url=engine.url.render_as_string(hide_password=False))
    for level in found.data["levels"]:
        mine = [row for row in rows if row["level"] == level["level"]]
        assert level["abstention_rate_count"][0] == sum(bool(row["abstained"]) for row in mine)
        right = [row["radius"] for row in mine if row["outcome"] == "right"]
        assert level["certified_accuracy"][0]["count"] == [len(right), len(mine)]
        assert level["average_certified_radius"] == pytest.approx(math.fsum(right) / len(mine))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_exports_have_the_rows_and_the_summary(engine: Engine, form: str) -> None:
    run = example(engine)
    for what, count in (("rows", 13), ("summary", 2)):
        out = io.BytesIO()
        with reading(engine) as session:
            assert write_run(session, run, what, EXPORTS[form], out, alpha=0.01) == count  # type: ignore[arg-type]
        if form == "jsonl":
            first = json.loads(out.getvalue().splitlines()[0])
            assert first["alpha" if what == "summary" else "n"] == (0.01 if what == "summary" else N)


def test_notebooks_get_frames(engine: Engine, settings: Settings) -> None:
    example(engine)
    found = smoothvote.certified(database_url=settings.database_url)
    assert found.levels.loc[0.25, "certified_0.25_hits"] == 1
    assert [*found.curve["certified_accuracy"]] == [0.4, 0.2, 0.4, 0.2]
    assert found.verdict in found.data["verdict"]
    assert repr(found) == found.text
    frame = smoothvote.certificates(level=0.25, database_url=settings.database_url)
    assert [*frame.columns] == [*COLUMNS]
    assert frame["abstained"].sum() == 2
    assert [*frame["outcome"]] == ["right", "wrong", "abstained", "right", "abstained", "unlabelled"]
    assert frame["certified_label"].isna().sum() == 2


def test_what_is_for_votes_says_what_to_use_instead(engine: Engine, settings: Settings) -> None:
    run = example(engine)
    with reading(engine) as session:
        with pytest.raises(WrongUse, match=rf"`smoothvote export {run.id}` and smoothvote\.certificates\(\)"):
            next(pages(session, run))
        with pytest.raises(WrongUse, match=rf"`smoothvote export {run.id}` gives a row for each image"):
            story(session, run, 1)
    with pytest.raises(WrongUse, match=r"read it with `smoothvote report \w+` or smoothvote\.certified\(\)"):
        smoothvote.report(database_url=settings.database_url)
    votes = make_run(engine, [(1, None, (1, 0.9, 1, 0.5, 1, 0.7), (1, 0.9, 1, 0.5, 1, 0.7))], "v" * 64)
    with pytest.raises(WrongUse, match=rf"see `smoothvote report {votes.id}` without --alpha and --n"):
        smoothvote.certificates(votes.id, database_url=settings.database_url)


def test_the_rows_of_a_run_that_is_not_begun_are_none(engine: Engine) -> None:
    assert listed(engine, certified_run(engine, [1, 1], by_hand, pending=2)) == []
