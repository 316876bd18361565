"""The answer in words, of runs small enough to know it."""

import pytest
from rows import record
from sqlalchemy import Engine
from test_tally import make_run

from db.runs import RunInfo, find_run
from db.session import reading
from report.report import report
from report.verdict import verdict

# The true class is 1. A level where the vote gets right what ns is sure of and wrong about, and rejects where ns is
# right and unsure; one where it is the other way about; and one where all agree.
PAYS = [(2, 0.9, 1, 0.5, 1, 0.5), (1, 0.1, 2, 0.5, 0, 0.5)]
DOES_NOT = [(1, 0.9, 2, 0.5, 0, 0.5), (2, 0.1, 2, 0.5, 2, 0.5)]
SAME = [(1, 0.9, 1, 0.5, 1, 0.5), (2, 0.1, 2, 0.5, 2, 0.5)]


def said(engine: Engine, run: RunInfo) -> str:
    with reading(engine) as session:
        return verdict(report(session, run))


@pytest.mark.parametrize(
    ("calm", "noisy", "words"),
    [
        (PAYS, PAYS, ["more often at σ = 0 (1.000 against 0.000), σ = 0.25 (1.000", "The vote pays at every level measured"]),
        (DOES_NOT, PAYS, ["more often at σ = 0.25 (1.000", "the rival is at σ = 0 (0.000 against 1.000)", "pays at σ = 0.25 only"]),
        (DOES_NOT, SAME, ["the rival is right more often at σ = 0", "nothing decides at σ = 0.25", "Do not deploy the vote here"]),
        (SAME, SAME, ["nothing decides at σ = 0 (0.500 against 0.500)", "No reason is seen to deploy the vote"]),
    ],
)  # fmt: skip
def test_the_verdict_says_where_the_vote_beats_its_rival(
    engine: Engine, calm: list[tuple], noisy: list[tuple], words: list[str]  # type: ignore[type-arg]
) -> None:  # fmt: skip
    images = [(1, None, *levels) for levels in zip(calm, noisy, strict=True)] * 12
    found = said(engine, make_run(engine, images, "verdict"))
    assert all(part in found for part in words), found
    assert "\n" not in found


def test_a_handful_of_images_decides_nothing(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(1, None, views, views) for views in PAYS] * 2, "few"))
    assert "nothing decides" in found


def test_images_without_labels_have_agreement_and_no_accuracy(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(None, None, views, views) for views in PAYS], "unlabelled"))
    assert "No image has a label" in found
    assert "σ = 0 (0.000, 0.500)" in found


def test_an_incomplete_run_is_judged_so_far(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(1, None, views, views) for views in PAYS], "open", pending=1))
    assert found.startswith("So far, with images pending: ")


def test_of_nothing_nothing_is_said(engine: Engine) -> None:
    run_id = record(engine, [1])
    with reading(engine) as session:
        run = find_run(session, run_id)
    assert said(engine, run) == "Nothing is predicted yet."
