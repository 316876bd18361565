import subprocess
import sys

import pytest
from scipy.special import ndtri
from scipy.stats import binomtest

from report.stats import CONFIDENCE, Z, holm, mcnemar, mean, paired, rate


def test_wilsons_interval_agrees_with_published_figures() -> None:
    # 285 of 427 → [.621, .710]; 211 of 427 → [.447, .541]: recomputed from the logs of Cohen et al. 2019.
    found = rate(285, 427)
    assert found is not None
    assert (round(found.value, 3), round(found.low, 3), round(found.high, 3)) == (0.667, 0.621, 0.710)
    found = rate(211, 427)
    assert found is not None
    assert (round(found.low, 3), round(found.high, 3)) == (0.447, 0.541)


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (0, 500), (500, 500), (3, 7), (491, 975)])
def test_wilsons_interval_is_scipys(hits: int, of: int) -> None:
    found = rate(hits, of)
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_nothing() -> None:
    assert rate(0, 0) is None


@pytest.mark.parametrize(("hits", "of"), [(0, 1), (1, 1), (0, 500), (500, 500), (3, 7), (491, 975)])
def test_clopper_and_pearsons_interval_is_scipys(hits: int, of: int) -> None:
    found = rate(hits, of, "clopper-pearson")
    expected = binomtest(hits, of).proportion_ci(method="exact")
    assert found is not None
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("one", "other"), [(34, 17), (0, 0), (0, 5), (6, 0), (10, 10), (400, 480), (5100, 4900), (5101, 4900)]
)
def test_mcnemars_p_is_the_binomial_test_of_the_discordant(one: int, other: int) -> None:
    expected = binomtest(one, one + other).pvalue if one + other else 1.0
    assert mcnemar(one, other) == mcnemar(other, one) == pytest.approx(expected, abs=1e-12)


def test_an_exact_p_may_be_too_small_for_a_number() -> None:
    assert mcnemar(0, 5000) == 0
    assert mcnemar(1, 3) == 2 * (1 + 4) / 2**4  # by hand: none or one head in four tosses


def test_a_usual_report_needs_no_scipy() -> None:
    code = "import sys; from report.stats import paired; paired(400, 40, 60, 500); print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_normal_quantile_is_scipys() -> None:
    assert float(ndtri(0.5 + CONFIDENCE / 2)) == Z


def test_mcnemars_p_agrees_with_a_published_figure() -> None:
    assert round(mcnemar(34, 17), 3) == 0.024


def test_the_interval_of_a_paired_difference_is_newcombes() -> None:
    # Newcombe (1998), method 10, of the table 36, 12, 2, 0: .200 [.0569, .3404].
    found = paired(36, 2, 12, 0)
    assert found is not None
    assert (found.difference, round(found.low, 4), round(found.high, 4)) == (0.2, 0.0569, 0.3404)
    turned = paired(36, 12, 2, 0)
    assert turned is not None
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-0.2, -found.high, -found.low))


@pytest.mark.parametrize("table", [(5, 0, 0, 0), (0, 5, 0, 0), (0, 0, 0, 5), (1, 0, 0, 1), (0, 0, 1, 0)])
def test_a_paired_difference_without_spread_has_an_interval_that_holds_it(table: tuple[int, int, int, int]) -> None:
    found = paired(*table)
    assert found is not None
    assert -1 <= found.low <= found.difference <= found.high <= 1


def test_a_difference_over_no_images_is_nothing() -> None:
    assert paired(0, 0, 0, 0) is None


def test_the_mean_of_one_two_three_is_two_with_a_deviation_of_one() -> None:
    found = mean(6, 14, 3)
    assert found
    assert found.value == 2
    assert (found.low, found.high) == pytest.approx((2 - 1.959963984540054 / 3**0.5, 2 + 1.959963984540054 / 3**0.5))
    assert mean(0.3, 0.09, 1) == (0.3, 0.3, 0.3, 1)
    assert mean(0, 0, 0) is None


def test_holm_raises_the_smallest_most_and_keeps_the_order() -> None:
    # By hand: .01 x 3; .03 x 2; .04 x 1, but not below the one before it.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
