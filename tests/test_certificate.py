"""Certificates from counts: against the paper written down straight, against closed forms, and against chance."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, binom, binomtest, norm

from db.errors import WrongUse
from report.certificate import (
    certified_radius,
    check_copies,
    largest_radius,
    least_copies,
    lower_bound,
    predicts,
    radius,
)
from report.stats import rate

ALPHAS = st.sampled_from([0.0001, 0.001, 0.01, 0.05, 0.3])


@st.composite
def trials(draw: st.DrawFn, most: int) -> tuple[int, int]:
    of = draw(st.integers(1, most))
    return draw(st.integers(0, of)), of


def tail(hits: int, of: int, p: float) -> float:
    """The probability of so many hits or more, summed in whole numbers: without rounding, for any p."""
    numerator, denominator = p.as_integer_ratio()
    misses = denominator - numerator
    total = sum(math.comb(of, number) * numerator**number * misses ** (of - number) for number in range(hits, of + 1))
    return float(total / denominator**of)


def straight_certify(hits: int, of: int, sigma: float, alpha: float) -> float | None:
    """Algorithm CERTIFY from its line `pA` on, with SciPy's exact interval: two-sided at 2α is one-sided at α."""
    low = beta.ppf(alpha, hits, of - hits + 1) if hits else 0.0
    return sigma * norm.ppf(low) if low > 0.5 else None


# -- the bound and the radius ------------------------------------------------------------------------------------


@given(found=trials(200_000), alpha=ALPHAS, sigma=st.floats(0.01, 2))
def test_bounds_and_radii_are_those_of_the_paper_written_down_straight(
    found: tuple[int, int], alpha: float, sigma: float
) -> None:
    hits, of = found
    expected = beta.ppf(alpha, hits, of - hits + 1) if hits else 0.0
    assert lower_bound(hits, of, alpha) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    straight, ours = straight_certify(hits, of, sigma, alpha), certified_radius(hits, of, sigma, alpha)
    assert (ours is None) == (straight is None)
    if straight is not None:
        assert ours == pytest.approx(straight, rel=1e-12, abs=1e-12)


@given(found=trials(60), alpha=ALPHAS)
def test_the_bound_is_the_probability_at_which_so_many_hits_have_the_probability_alpha(
    found: tuple[int, int], alpha: float
) -> None:
    hits, of = found
    low = lower_bound(hits, of, alpha)
    assert tail(hits, of, max(0.0, low - 1e-12)) <= alpha or not hits
    assert tail(hits, of, low + 1e-12) >= alpha


@given(found=trials(2000), alpha=st.sampled_from([0.001, 0.01, 0.05]))
def test_the_bound_is_the_lower_end_of_scipys_exact_interval_of_twice_alpha(
    found: tuple[int, int], alpha: float
) -> None:
    hits, of = found
    exact = binomtest(hits, of).proportion_ci(1 - 2 * alpha, method="exact")
    assert lower_bound(hits, of, alpha) == pytest.approx(exact.low, abs=1e-11)  # SciPy finds its root to 2e-12


@given(p=st.floats(0.5, 1, exclude_min=True, exclude_max=True), sigma=st.floats(0.01, 10))
def test_the_radius_is_sigma_times_the_normal_quantile(p: float, sigma: float) -> None:
    assert radius(p, sigma) == pytest.approx(sigma * norm.ppf(p), rel=1e-12, abs=1e-12)


def test_bounds_that_can_be_worked_out_by_hand() -> None:
    assert lower_bound(0, 10, 0.001) == 0
    # All hits: p^n = α. One hit or more: 1 − (1 − p)^n = α.
    assert lower_bound(10, 10, 0.001) == pytest.approx(0.001 ** (1 / 10), abs=1e-15)
    assert lower_bound(1, 10, 0.001) == pytest.approx(1 - 0.999 ** (1 / 10), abs=1e-15)
    assert lower_bound(100_000, 100_000, 0.001) == pytest.approx(0.001**1e-5, abs=1e-15)


def test_it_abstains_unless_the_bound_is_above_one_half() -> None:
    assert radius(0.5, 1.0) is None
    assert radius(0.4999, 1.0) is None
    assert certified_radius(5, 10, 1.0, 0.001) is None
    # Φ⁻¹(0.84134) is 1 to four digits.
    assert radius(0.8413447460685429, 0.25) == pytest.approx(0.25)


def test_no_count_certifies_more_than_all_copies_with_one_label() -> None:
    largest = largest_radius(1000, 0.5, 0.001)
    assert largest == pytest.approx(0.5 * NormalDist().inv_cdf(0.001**0.001))
    assert all((certified_radius(hits, 1000, 0.5, 0.001) or 0) < largest for hits in range(1000))
    assert largest_radius(9, 0.5, 0.001) == 0


# -- too few copies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("alpha", "least"), [(0.001, 10), (0.5, 2), (0.25, 3), (0.6, 1), (1e-6, 20)])
def test_the_fewest_copies_that_can_certify(alpha: float, least: int) -> None:
    assert least_copies(alpha) == least
    assert certified_radius(least, least, 1.0, alpha) is not None
    assert least == 1 or certified_radius(least - 1, least - 1, 1.0, alpha) is None


def test_too_few_copies_are_refused_with_the_number_that_is_needed() -> None:
    check_copies(10, 0.001)
    with pytest.raises(WrongUse, match=r"--n 9: so few copies certify nothing at α = 0\.001, .* --n 10 or more"):
        check_copies(9, 0.001)


def test_where_images_stop_early_the_copies_must_certify_at_a_share_of_alpha() -> None:
    # 2 · (.001/3)^(1/12) > 1 > 2 · (.001/3)^(1/11)
    check_copies(12, 0.001, looks=3)
    with pytest.raises(
        WrongUse, match=r"^--alpha 0\.001: each bound is at α/3, .* 11 copies certify nothing .* larger --alpha$"
    ):
        check_copies(11, 0.001, looks=3)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1 - 1e-16, 1.0, -0.1, math.nan])
def test_an_alpha_at_which_certificates_say_nothing_is_refused(alpha: float) -> None:
    with pytest.raises(WrongUse, match=r"give a probability above 0 and below 0\.5"):
        check_copies(1000, alpha)


# -- PREDICT -----------------------------------------------------------------------------------------------------


@given(found=trials(3000), alpha=ALPHAS)
def test_predict_abstains_where_scipys_binomial_test_does_not_reject_a_fair_coin(
    found: tuple[int, int], alpha: float
) -> None:
    second, both = min(found[0], found[1] - found[0]), found[1]
    p = binomtest(second, both, 0.5).pvalue
    if not math.isclose(p, alpha, rel_tol=1e-9):
        assert predicts(both - second, second, alpha) == (p <= alpha)


def test_predict_needs_eleven_equal_labels_at_one_in_a_thousand() -> None:
    assert not predicts(10, 0, 0.001)  # 2/2^10 = .00195
    assert predicts(11, 0, 0.001)  # 2/2^11 = .00098
    assert not predicts(0, 0, 0.001)


# -- known truths ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [0.05, 0.25, 0.4])
def test_a_linear_classifier_is_certified_below_its_distance_to_the_boundary_and_near_it(distance: float) -> None:
    """The smoothed classifier of a half-plane is that half-plane: its radius is the distance (Cohen et al., App. B)."""
    sigma, n, alpha = 0.25, 100_000, 0.001
    normal, offset = np.array([0.6, 0.8]), 0.3
    point = (offset + distance) * normal
    noisy = point + sigma * np.random.default_rng(11).standard_normal((n, 2))
    hits = int((noisy @ normal > offset).sum())
    certified = certified_radius(hits, n, sigma, alpha)
    assert certified is not None
    assert 0 < distance - certified < 0.02


def test_no_more_certificates_are_wrong_than_alpha_allows() -> None:
    """2,000 images whose three labels have known probabilities: wrong is a bound above that of the selected label."""
    images, n0, n = 2000, 10, 200
    draws = np.random.default_rng(5)
    probabilities = draws.dirichlet((1.5, 1, 1), size=images)
    for alpha in (0.001, 0.01, 0.1):
        wrong = 0
        for p in probabilities:
            selected = int(draws.multinomial(n0, p).argmax())
            low = lower_bound(int(draws.multinomial(n, p)[selected]), n, alpha)
            wrong += bool(low > 0.5 and low > p[selected])
        share = rate(wrong, images, "clopper-pearson")
        assert share
        assert share.low <= alpha


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_the_bound_lies_above_the_truth_with_a_probability_of_at_most_alpha(alpha: float) -> None:
    """Exactly, not by chance: summed over every count that there may be, for many probabilities."""
    n = 100
    bounds = np.array([lower_bound(hits, n, alpha) for hits in range(n + 1)])
    for p in np.linspace(0.01, 0.99, 197):
        assert binom.pmf(np.arange(n + 1), n, p)[bounds > p].sum() <= alpha * (1 + 1e-9)
