"""Two certified runs over the same images: every count and difference worked out by hand, and what is refused."""

import json
from pathlib import Path

import pytest
from certificates import N0, Labels, certified_run, certifying, do_jobs
from rows import make_run
from scipy.stats import beta, norm
from sqlalchemy import Engine

from db import submission
from db.copies import Part
from db.errors import WrongUse
from db.runs import RunInfo, find_run
from db.session import reading, writing
from report.certified_comparison import CertifiedComparison, compare_certified
from report.certified_comparison_verdict import verdict
from report.comparison import compare
from report.documents.certified_comparison import document
from report.formats import FORMATS, as_text
from report.plots import PLOTS
from report.screen import Screen
from report.stats import mcnemar, paired

#: All copies with label 1; 80 of 100; and all with label 2. The true class is 1, of the last image unknown.
FULL, PART, WRONG = {1: 100}, {1: 80, 2: 20}, {2: 100}
FIRST = [FULL, FULL, FULL, WRONG, PART, FULL]
SECOND = [PART, WRONG, {1: 55, 2: 45}, WRONG, FULL, {1: 55, 2: 45}]
TRUE = [1, 1, 1, 1, 1, None]
#: Radii at σ = 1 of 100 and of 80 of 100 copies: 1.50 and 0.39.
LONG, SHORT = float(norm.ppf(0.001**0.01)), float(norm.ppf(beta.ppf(0.001, 80, 21)))


def made(engine: Engine, drawn: list[Labels], smoother: str, pending: int = 0) -> RunInfo:
    def draw(position: int, level: float, part: Part) -> Labels:
        share = drawn[position]
        return {max(share, key=lambda label: share[label]): part.size} if part.first < N0 else share

    return certified_run(
        engine, TRUE, draw, recipe=certifying(levels=(1.0,), smoother=smoother), name=smoother, pending=pending
    )


def compared(engine: Engine, first: RunInfo, second: RunInfo, **options: object) -> CertifiedComparison:
    with reading(engine) as session:
        return compare_certified(session, first, second, **options)  # type: ignore[arg-type]


@pytest.fixture
def found(engine: Engine) -> CertifiedComparison:
    return compared(engine, made(engine, FIRST, "none"), made(engine, SECOND, "median"))


def test_counts_and_differences_are_those_of_a_hand_count(found: CertifiedComparison) -> None:
    (level,) = found.levels
    assert (level.sigma, level.both, level.only_first, level.only_second, level.labelled) == (1.0, 6, 0, 0, 5)
    assert [at.radius for at in level.radii] == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
    # Of the first, images 1, 2, 3 and 5 are right, the last of them below 0.5 alone; of the second, 1 below 0.5, and 5.
    for at in level.radii:
        near = at.radius < 0.5
        pair = at.compared.tested.pair
        assert (at.compared.first.hits, at.compared.second.hits, pair.of) == ((4, 2, 5) if near else (3, 1, 5))
        assert pair == (paired(2, 2, 0, 1) if near else paired(0, 3, 1, 1))
        assert pair.p == (mcnemar(2, 0) if near else mcnemar(3, 1))
        assert at.compared.tested.p_holm == 1
    assert level.abstains
    assert (level.abstains.first.hits, level.abstains.second.hits, level.abstains.first.of) == (0, 2, 6)


def test_average_radii_are_compared_image_by_image(found: CertifiedComparison) -> None:
    averages = found.levels[0].averages
    assert averages
    assert averages.first.value == pytest.approx((3 * LONG + SHORT) / 5)
    assert averages.second.value == pytest.approx((SHORT + LONG) / 5)
    assert averages.difference.value == pytest.approx(averages.second.value - averages.first.value)


def test_both_are_compared_at_the_smaller_n_and_at_any_that_is_asked_for(engine: Engine) -> None:
    first, second = made(engine, FIRST, "none"), made(engine, SECOND, "median")

    def more(position: int, level: float, part: Part) -> Labels:
        return {1: part.size}

    with writing(engine) as session:
        submission.record_run(
            session, run_id=first.id, dataset_id=first.dataset_id, name="none", recipe=first.recipe, job_size=None,
            copies=N0 + 200,
        )  # fmt: skip
    do_jobs(engine, first.id, more)
    larger = compared(engine, read(engine, first), second)
    assert (larger.n, larger.complete) == (100, True)
    assert larger.levels[0].radii[0].compared.first.hits == 4
    with pytest.raises(WrongUse, match="has 100 copies that estimate"):
        compared(engine, read(engine, first), second, n=200)


def read(engine: Engine, run: RunInfo) -> RunInfo:
    with reading(engine) as session:
        return find_run(session, run.id)


def test_images_that_one_run_lacks_are_left_out(engine: Engine) -> None:
    found = compared(engine, made(engine, FIRST, "none"), made(engine, SECOND, "median", pending=2))
    (level,) = found.levels
    assert (level.both, level.only_first, level.only_second, level.labelled) == (4, 2, 0, 4)
    assert not found.complete
    assert verdict(found).startswith("So far, with images pending: this compares the second run with the first")


def test_the_verdict_says_at_which_radii_which_run_certifies_more(engine: Engine) -> None:
    many = {"first": certified(engine, FULL, "none"), "second": certified(engine, PART, "median")}
    found = compared(engine, many["first"], many["second"])
    # 20 images: of one run alone at radii 0.5 and beyond, where p = 2/2^20.
    assert verdict(found) == (
        "This compares the second run with the first, image by image, adjusted for the number of σ and radii (Holm). "
        "σ = 1: the second certifies fewer images at radius 0.5 (0.000 against 1.000), radius 0.75 (0.000 against 1.000), "
        "radius 1 (0.000 against 1.000), radius 1.25 (0.000 against 1.000), radius 1.5 (0.000 against 1.000); no "
        "difference is shown at 0, 0.25."
    )
    turned = verdict(compared(engine, many["second"], many["first"]))
    assert "the second certifies more images at radius 0.5 (1.000 against 0.000)" in turned


def certified(engine: Engine, share: Labels, smoother: str) -> RunInfo:
    def draw(position: int, level: float, part: Part) -> Labels:
        return {1: part.size} if part.first < N0 else share

    return certified_run(
        engine, [1] * 20, draw, recipe=certifying(levels=(1.0,), smoother=smoother), fingerprint="m" * 64
    )


def test_a_comparison_is_printed_in_every_format_and_drawn(found: CertifiedComparison, tmp_path: Path) -> None:
    shown = document(found)
    assert max(map(len, as_text(shown, screen=Screen(80), detail=True).splitlines())) <= 80
    for form in FORMATS:
        assert as_text(shown, form)
    data = json.loads(as_text(shown, "json"))
    at = data["levels"][0]["certified_accuracy"][2]
    assert (at["radius"], at["first"], at["second"], at["only_first"], at["verdict"]) == (0.5, 0.6, 0.2, 3, "undecided")
    assert [difference["field"] for difference in data["differences"]] == ["smoother"]
    PLOTS["certified_differences"].draw(found, tmp_path / "a.svg")
    assert "<!-- σ = 1 -->" in (tmp_path / "a.svg").read_text()


def test_votes_and_certificates_are_not_compared(engine: Engine) -> None:
    votes = make_run(engine, [(1, None, (1, 0.9, 1, 0.5, 1, 0.7), (1, 0.9, 1, 0.5, 1, 0.7))] * 6, "c" * 64)
    run = made(engine, FIRST, "none")
    with pytest.raises(WrongUse, match="has votes of three views, and no certificates"):
        compared(engine, run, votes)
    with reading(engine) as session, pytest.raises(WrongUse, match="compare votes with votes, and certificates with"):
        compare(session, votes, run)


def test_runs_without_a_common_sigma_are_refused(engine: Engine) -> None:
    first = made(engine, FIRST, "none")
    second = certified_run(engine, TRUE, lambda *part: {1: part[2].size}, recipe=certifying(levels=(0.5,)))
    with pytest.raises(WrongUse, match=r"share no level: 1 and 0\.5; run one of them at the other's --sigma"):
        compared(engine, first, second)
