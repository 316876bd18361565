"""The answer in words, of runs small enough to know it."""

import pytest
from rows import make_run, record
from sqlalchemy import Engine

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
    ("calm", "noisy", "answer", "against_model"),
    [
        (
            PAYS, PAYS,
            "The vote pays at every level measured. At the same coverage, the vote has the higher selective accuracy at σ = 0 "
            "(1.000 against 0.000), σ = 0.25 (1.000 against 0.000).",
            "no difference is shown at any level",
        ),
        (
            DOES_NOT, PAYS,
            "The vote pays only at σ = 0.25: elsewhere use confidence thresholding. At the same coverage, the vote has the "
            "higher selective accuracy at σ = 0.25 (1.000 against 0.000); confidence thresholding has it at σ = 0 (1.000 "
            "against the vote's 0.000).",
            "the vote is right on fewer images at σ = 0 (0.000 against 0.500); no difference is shown at σ = 0.25",
        ),
        (
            DOES_NOT, SAME,
            "Do not deploy the vote here. At the same coverage, confidence thresholding has the higher selective accuracy at "
            "σ = 0 (1.000 against the vote's 0.000); no difference is shown at σ = 0.25 (0.500 and 0.500).",
            "the vote is right on fewer images at σ = 0 (0.000 against 0.500); no difference is shown at σ = 0.25",
        ),
        (
            SAME, SAME,
            "No reason to deploy the vote is shown; more images might show one. At the same coverage, no difference between the "
            "selective accuracies of the vote and of confidence thresholding is shown at σ = 0 (0.500 and 0.500), σ = 0.25 "
            "(0.500 and 0.500).",
            "no difference is shown at any level",
        ),
    ],
)  # fmt: skip
def test_the_verdict_compares_the_vote_with_confidence_thresholding_and_with_the_model_alone(
    engine: Engine, calm: list[tuple], noisy: list[tuple], answer: str, against_model: str  # type: ignore[type-arg]
) -> None:  # fmt: skip
    images = [(1, None, *levels) for levels in zip(calm, noisy, strict=True)] * 12
    found = said(engine, make_run(engine, images, "verdict"))
    assert found == (
        f"{answer} Thresholding needs one view of an image, the vote three. Against the unsmoothed view alone, {against_model}."
    )


def test_the_vote_can_be_right_on_more_images_than_the_model_alone(engine: Engine) -> None:
    saved = (2, 0.5, 1, 0.5, 1, 0.5)
    found = said(engine, make_run(engine, [(1, None, saved, SAME[0])] * 12, "saved"))
    assert found.endswith(
        "Against the unsmoothed view alone, the vote is right on more images at σ = 0 (1.000 against 0.000); no difference "
        "is shown at σ = 0.25."
    )


def test_a_handful_of_images_decides_nothing(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(1, None, views, views) for views in PAYS] * 2, "few"))
    assert "no difference between the selective accuracies" in found


def test_images_without_labels_have_agreement_and_no_accuracy(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(None, None, views, views) for views in PAYS], "unlabelled"))
    assert "No image has a label" in found
    assert "share rejected: 0.000 and 0.500 at σ = 0, 0.000 and 0.500 at σ = 0.25." in found


def test_an_incomplete_run_is_judged_so_far(engine: Engine) -> None:
    found = said(engine, make_run(engine, [(1, None, views, views) for views in PAYS], "open", pending=1))
    assert found.startswith("So far, with images pending: no reason to deploy the vote is shown")


#: No two views agree, and ns is right.
REJECTED = [(1, 0.9, 2, 0.5, 3, 0.5)] * 2


@pytest.mark.parametrize(
    ("calm", "noisy", "answer"),
    [
        (
            PAYS, REJECTED,
            "The vote pays only at σ = 0: elsewhere use confidence thresholding. At the same coverage, the vote has the higher "
            "selective accuracy at σ = 0 (1.000 against 0.000). The vote accepts no image at σ = 0.25. Thresholding needs",
        ),
        (
            SAME, REJECTED,
            "No reason to deploy the vote is shown; more images might show one. At the same coverage, no difference between the "
            "selective accuracies of the vote and of confidence thresholding is shown at σ = 0 (0.500 and 0.500). The vote "
            "accepts no image at σ = 0.25. Thresholding needs",
        ),
        (
            REJECTED, REJECTED,
            "The vote accepts no image at σ = 0, σ = 0.25: there is no reason to deploy it here. Thresholding needs one view of "
            "an image, the vote three. Against the unsmoothed view alone, the vote is right on fewer images at σ = 0 (0.000 "
            "against 1.000), σ = 0.25 (0.000 against 1.000).",
        ),
    ],
)  # fmt: skip
def test_where_the_vote_accepts_no_image_there_is_no_accuracy_to_compare_and_words_say_so(
    engine: Engine, calm: list[tuple], noisy: list[tuple], answer: str  # type: ignore[type-arg]
) -> None:  # fmt: skip
    images = [(1, None, *levels) for levels in zip(calm, noisy, strict=True)] * 12
    found = said(engine, make_run(engine, images, "rejecting"))
    assert found.startswith(answer)
    assert "–" not in found


def test_of_nothing_nothing_is_said(engine: Engine) -> None:
    run_id = record(engine, [1])
    with reading(engine) as session:
        run = find_run(session, run_id)
    assert said(engine, run) == "Nothing is predicted yet."
