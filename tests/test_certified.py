"""What a certified run found: every count and radius worked out by hand, for any α and n, in both databases."""

from statistics import NormalDist

import numpy as np
import pytest
from certificates import N0, Labels, N, by_hand, certified_run, do_jobs, example
from rows import make_run
from scipy.stats import beta, binomtest, norm
from sqlalchemy import Engine

from db import submission
from db.bound import lower_bound
from db.copies import Part
from db.errors import WrongUse
from db.runs import RunInfo, find_run
from db.session import reading, writing
from report.certificate import RADII
from report.certified import Best, Certified, read_certified
from report.certified_level import Answer, CertifiedLevel, level_of
from report.counts import copies_of_all, ends
from report.report import read_report
from report.stats import rate

#: The bound for 100 of 100 copies at α = 0.001 is 0.001^(1/100).
FULL = NormalDist().inv_cdf(0.001 ** (1 / 100))
#: That for 90 of 100, from SciPy's beta distribution.
NINETY = float(norm.ppf(beta.ppf(0.001, 90, 11)))


def counts(level: CertifiedLevel) -> tuple[int, ...]:
    return (level.expected, level.predicted, level.failed, level.skipped, level.pending, level.labelled)


def hits(found: object) -> tuple[int, int]:
    return found.hits, found.of  # type: ignore[attr-defined]


def of(run: RunInfo, engine: Engine, **options: object) -> Certified:
    return read_certified(engine, run.id, **options)  # type: ignore[arg-type]


# -- by hand -----------------------------------------------------------------------------------------------------


def test_counts_rates_and_radii_are_those_of_a_hand_count(engine: Engine) -> None:
    run = example(engine)
    found = of(run, engine)
    assert (found.n0, found.n, found.alpha, found.complete) == (N0, N, 0.001, False)
    for level in found.levels:
        assert counts(level) == (8, 6, 1, 0, 1, 5)
        assert hits(level.abstention_rate) == (2, 6)
        assert hits(level.acc_predict) == (3, 5)
        assert hits(level.predict_abstention_rate) == (1, 6)
        assert hits(level.at(0.0)) == (2, 5)
        radii = [level.sigma * FULL, level.sigma * NINETY]
        average = level.average_certified_radius
        assert average
        assert average.value == pytest.approx(sum(radii) / 5)
        half = 1.959963984540054 * np.std([*radii, 0, 0, 0], ddof=1) / 5**0.5
        assert (average.low, average.high) == pytest.approx((max(0, average.value - half), average.value + half))
        # An abstention counts as 0: of 6 images 0 0 D A A A.
        assert level.radius_quantiles == pytest.approx([0, level.sigma * NINETY, level.sigma * FULL])
        assert level.curve == [(pytest.approx(radii[1]), 2 / 5), (pytest.approx(radii[0]), 1 / 5)]
        assert level.largest_radius == pytest.approx(level.sigma * FULL)
    # FULL is 1.5005 and NINETY 0.7565.
    by_radius = {level.sigma: [hits(level.at(radius))[0] for radius in RADII[:5]] for level in found.levels}
    assert by_radius == {0.25: [2, 1, 0, 0, 0], 0.5: [2, 2, 1, 1, 0]}


def test_the_envelope_is_the_best_sigma_at_each_radius_and_the_smaller_one_of_equals(engine: Engine) -> None:
    found = of(example(engine), engine)
    assert [best.sigma for best in found.envelope] == [0.25, 0.5, 0.5, 0.5, *[None] * 9]
    assert found.envelope[1] == Best(0.25, 0.5, rate(2, 5))  # type: ignore[arg-type]
    assert found.envelope[4].rate == rate(0, 5)


def test_a_radius_is_certified_up_to_and_including_its_own_length() -> None:
    exactly = Answer(
        right=True, labelled=True, radius=0.25, predict_right=True, predict_abstains=False, images=1
    )  # fmt: skip
    level = level_of(0.25, [exactly], "wilson", expected=1)
    assert [hits(level.at(radius)) for radius in RADII[:3]] == [(1, 1), (1, 1), (0, 1)]


def test_another_alpha_needs_no_other_copies(engine: Engine) -> None:
    run = example(engine)
    level = of(run, engine, alpha=0.05, interval="clopper-pearson").levels[0]
    # At α = 0.05 60 of 100 are certified: the bound is 0.513; and PREDICT abstains still: p = 0.057.
    assert lower_bound(60, 100, 0.05) > 0.5
    assert binomtest(60, 100).pvalue == pytest.approx(0.0569, abs=1e-4)
    assert hits(level.abstention_rate) == (1, 6)
    assert hits(level.predict_abstention_rate) == (1, 6)
    assert level.at(0.0) == rate(3, 5, "clopper-pearson")


def test_a_failed_image_does_not_count_even_if_some_of_its_parts_are_stored(engine: Engine) -> None:
    def half(position: int, level: float, part: Part) -> Labels:
        return {1: part.size}

    run = certified_run(engine, [1, 1], half, n=2000, pending=1)
    do_jobs(engine, run.id, half, broken={1: "truncated"})
    level = of(run, engine).levels[0]
    assert counts(level) == (2, 1, 1, 0, 0, 1)


def test_without_labels_there_are_abstentions_and_radii_and_no_accuracy(engine: Engine) -> None:
    run = certified_run(engine, [None] * 6, by_hand)
    found = of(run, engine)
    assert not found.labelled
    level = found.levels[0]
    assert (level.acc_predict, level.average_certified_radius, level.certified_accuracy) == (None, None, [])
    assert hits(level.abstention_rate) == (2, 6)
    assert found.envelope == []


def test_a_run_that_no_worker_has_begun_is_all_pending(engine: Engine) -> None:
    run = certified_run(engine, [1, 1], by_hand, pending=2)
    found = of(run, engine)
    assert counts(found.levels[0]) == (2, 0, 0, 0, 2, 0)
    assert found.levels[0].abstention_rate is None
    assert not found.complete


# -- any n -------------------------------------------------------------------------------------------------------


def growing(position: int, level: float, part: Part) -> Labels:
    """Label 1 on all copies; from the hundredth that estimates on, image 1 gets label 2 on a half of them."""
    return {1: part.size // 2, 2: part.size - part.size // 2} if position and part.first >= N0 + 100 else {1: part.size}


def test_a_smaller_n_counts_the_first_copies_alone(engine: Engine) -> None:
    run = certified_run(engine, [1, 1], growing, n=250)
    with reading(engine) as session:
        assert ends(session, run) == [100, 200, 250]
    assert [hits(of(run, engine, n=n).levels[0].abstention_rate) for n in (100, 200)] == [(0, 2), (0, 2)]
    assert hits(of(run, engine).levels[0].abstention_rate) == (0, 2)
    # 150 and 175 of the copies have label 1: their bounds are the radii.
    curve = of(run, engine, n=250).levels[0].curve
    assert curve[0][0] == pytest.approx(0.25 * norm.ppf(beta.ppf(0.001, 175, 76)))
    assert of(run, engine, n=200).levels[0].curve[0][0] == pytest.approx(0.25 * norm.ppf(beta.ppf(0.001, 150, 51)))


def test_a_run_with_more_copies_is_reported_at_every_n_that_all_images_have(engine: Engine) -> None:
    run = certified_run(engine, [1, 1], growing, n=250)
    with writing(engine) as session:
        submission.record_run(
            session, run_id=run.id, dataset_id=run.dataset_id, name=run.name, recipe=run.recipe,
            job_size=None, copies=N0 + 3000,
        )  # fmt: skip
    with reading(engine) as session:
        more = find_run(session, run.id)
        assert copies_of_all(session, more) == 250
        assert ends(session, more) == [100, 200, 250, *range(300, 1000, 100), 1000, 2000, 3000]
    found = of(run, engine)
    assert (found.n, found.n_of_all, found.complete) == (3000, 250, False)
    assert of(run, engine, n=250).complete
    do_jobs(engine, run.id, growing)
    assert of(run, engine).complete
    assert of(run, engine, n=250).levels[0].curve[0][0] == pytest.approx(0.25 * norm.ppf(beta.ppf(0.001, 175, 76)))


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (300, r"run \w+ has 250 copies that estimate; `smoothvote certify` with the same flags and --n 300"),
        (150, r"counted in parts, none of which ends there; give 100 or 200"),
        (50, r"none of which ends there; give 100"),
        (9, r"so few copies certify nothing at α = 0\.001"),
    ],
)
def test_an_n_that_the_record_cannot_answer_is_refused_with_one_that_it_can(
    engine: Engine, n: int, message: str
) -> None:
    run = certified_run(engine, [1, 1], growing, n=250)
    with pytest.raises(WrongUse, match=message):
        of(run, engine, n=n)


def test_votes_and_certificates_are_not_taken_for_each_other(engine: Engine) -> None:
    votes = make_run(engine, [(1, None, (1, 0.9, 1, 0.5, 1, 0.7), (1, 0.9, 1, 0.5, 1, 0.7))], "v" * 64)
    with pytest.raises(WrongUse, match="has votes of three views, and no certificates"):
        of(votes, engine)
    run = example(engine)
    with pytest.raises(WrongUse, match="has certificates, and no votes of three views"):
        read_report(engine, run.id)


# -- against the paper -------------------------------------------------------------------------------------------


def straight(selected: Labels, estimated: Labels, true: int, sigma: float, alpha: float) -> tuple[bool, bool, float]:
    """Whether PREDICT is right, whether CERTIFY is, and its radius, written down from the paper."""
    n = sum(estimated.values())
    label = min(label for label, count in selected.items() if count == max(selected.values()))
    k = estimated.get(label, 0)
    low = beta.ppf(alpha, k, n - k + 1) if k else 0.0
    (first, most), *rest = sorted(estimated.items(), key=lambda pair: (-pair[1], pair[0]))
    second = rest[0][1] if rest else 0
    sure = binomtest(most, most + second, 0.5).pvalue <= alpha
    certifies = low > 0.5
    return sure and first == true, certifies and label == true, sigma * norm.ppf(low) if certifies else 0.0


def test_radii_of_random_counts_are_those_of_the_paper_written_down_straight(engine: Engine) -> None:
    draws = np.random.default_rng(3)
    drawn: dict[tuple[int, float, int], Labels] = {}

    def draw(position: int, level: float, part: Part) -> Labels:
        p = np.array([0.5 + position / 100, 0.3, 0.2])
        found = draws.multinomial(part.size, p / p.sum())
        drawn[position, level, part.first] = {label: int(n) for label, n in enumerate(found) if n}
        return drawn[position, level, part.first]

    images = 60
    run = certified_run(engine, [0] * images, draw)
    for alpha in (0.001, 0.05):
        for level in of(run, engine, alpha=alpha).levels:
            answers = [
                straight(drawn[number, level.sigma, 0], drawn[number, level.sigma, N0], 0, level.sigma, alpha)
                for number in range(images)
            ]
            assert hits(level.acc_predict)[0] == sum(predicted for predicted, *_ in answers)
            assert [hits(found.rate)[0] for found in level.certified_accuracy] == [
                sum(right and radius >= at for _, right, radius in answers) for at in RADII
            ]
            assert level.average_certified_radius
            assert level.average_certified_radius.value == pytest.approx(
                sum(radius for _, right, radius in answers if right) / images, rel=1e-12
            )
