"""Statistics of the report: intervals of rates, and exact tests of paired differences.

SciPy takes longer to import than a report takes otherwise, so it is imported only where nothing simpler will do. The
tests compare every function here with scipy.stats, or with published figures.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

#: Coverage of every interval, and the standard normal quantile at 0.5 + CONFIDENCE / 2.
CONFIDENCE = 0.95
Z = 1.959963984540054
#: Up to so many tosses, a binomial tail is summed in whole numbers: exactly, and in milliseconds.
SUMMED = 10_000

Interval = Literal["wilson", "clopper-pearson"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)


class Rate(NamedTuple):
    """A share of images, with its counts and its 95 % interval."""

    hits: int
    of: int
    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """Two answers to each of the same images: how often only one of them is right, and the test of that difference."""

    only_first: int
    only_second: int
    of: int
    #: Share of right second answers less that of right first answers, with its 95 % interval.
    difference: float
    low: float
    high: float
    #: Two-sided p-value of McNemar's exact test.
    p: float


def rate(hits: int, of: int, interval: Interval = "wilson") -> Rate | None:
    """The share ``hits / of`` with its interval; None if ``of`` is 0.

    "wilson" is the score interval (Wilson, 1927); "clopper-pearson" the exact one (Clopper & Pearson, 1934), which is
    longer.
    """
    if of == 0:
        return None
    low, high = {"wilson": _wilson, "clopper-pearson": _clopper_pearson}[interval](hits, of)
    return Rate(hits, of, hits / of, low, high)


def _wilson(hits: int, of: int) -> tuple[float, float]:
    # Wilson (1927), Probable inference, the law of succession, and statistical inference; eq. 4 of Brown, Cai &
    # DasGupta (2001). At 0 and 1 the end is the value itself; rounding must not move it.
    z2 = Z**2
    value = hits / of
    centre = (value + z2 / (2 * of)) / (1 + z2 / of)
    half = (z2 * (value * (1 - value) / of + z2 / (4 * of * of))) ** 0.5 / (1 + z2 / of)
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == of else centre + half)


def _clopper_pearson(hits: int, of: int) -> tuple[float, float]:
    # Clopper & Pearson (1934): quantiles of beta distributions. Its coverage is never below the nominal, often above.
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, of - hits + 1, tail))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - tail))
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p-value of McNemar's exact test of whether two answers to the same images are right equally often.

    If they are, each image on which only one is right is the toss of a fair coin (McNemar, 1947); the exact form is the
    binomial test of these tosses. The p-value is 1 if there are none.
    """
    return min(1.0, 2 * _tail(min(only_first, only_second), only_first + only_second))


def _tail(heads: int, tosses: int) -> float:
    """The probability of at most so many heads in so many tosses of a fair coin."""
    if tosses > SUMMED:
        from scipy.special import bdtr

        return float(bdtr(heads, tosses, 0.5))
    ways = total = 1
    for number in range(heads):
        ways = ways * (tosses - number) // (number + 1)
        total += ways
    share: float = total / 2**tosses
    return share


class Mean(NamedTuple):
    """The mean of a number over images, with its 95 % interval."""

    value: float
    low: float
    high: float
    of: int


def mean(total: float, squares: float, of: int) -> Mean | None:
    """The mean with the interval of the central limit theorem, for the sum of the values and that of their squares.

    None if there are no values. The interval of a single value is that value.
    """
    if of == 0:
        return None
    value = total / of
    variance = max(0.0, squares - of * value * value) / max(1, of - 1)
    half: float = Z * (variance / of) ** 0.5
    return Mean(value, value - half, value + half, of)


def paired(both: int, only_first: int, only_second: int, neither: int) -> Paired | None:
    """How much more often the second answer is right than the first, over the same images; None if there are no images.

    The interval is method 10 of Newcombe (1998), Improved confidence intervals for the difference between binomial
    proportions based on paired data: it combines the two Wilson intervals with the correlation of the pairs.

    Args:
        both: images on which both answers are right.
        only_first: on which only the first is.
        only_second: on which only the second is.
        neither: on which neither is.
    """
    of = both + only_first + only_second + neither
    if of == 0:
        return None
    first, second = both + only_first, both + only_second
    low1, high1 = _wilson(first, of)
    low2, high2 = _wilson(second, of)
    margins = first * (of - first) * second * (of - second)
    covariance = both * neither - only_first * only_second
    # Newcombe's continuity correction of a positive correlation.
    corrected = max(covariance - of / 2, 0) if covariance > 0 else covariance
    correlation = corrected / margins**0.5 if margins else 0.0
    down1, up1, down2, up2 = first / of - low1, high1 - first / of, second / of - low2, high2 - second / of
    difference = (only_second - only_first) / of
    low = difference - (down2**2 - 2 * correlation * down2 * up1 + up1**2) ** 0.5
    high = difference + (up2**2 - 2 * correlation * up2 * down1 + down1**2) ** 0.5
    p = mcnemar(only_first, only_second)
    return Paired(only_first, only_second, of, difference, max(-1.0, low), min(1.0, high), p)


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusts the p-values of several tests for their number, so that the family-wise error rate is that of one test.

    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted = [0.0] * len(ps)
    worst = 0.0
    for rank, number in enumerate(sorted(range(len(ps)), key=lambda number: ps[number])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[number]))
        adjusted[number] = worst
    return adjusted
