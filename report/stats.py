"""Statistics of the report: intervals of rates, exact tests of pairs.

scipy.special, not scipy.stats, which is slow to import and built on these very functions: a report is to start within a
second. The tests hold each against scipy.stats.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

#: Coverage of every interval.
CONFIDENCE = 0.95

Interval = Literal["wilson", "clopper-pearson"]
INTERVALS: tuple[Interval, ...] = get_args(Interval)


class Rate(NamedTuple):
    """A share with its denominator and its 95 % interval."""

    hits: int
    of: int
    value: float
    low: float
    high: float


class Paired(NamedTuple):
    """Two answers to the same images: how often only one of them was right, and what that says."""

    only_first: int
    only_second: int
    of: int
    #: Share of the second less that of the first, with its 95 % interval.
    difference: float
    low: float
    high: float
    #: Of McNemar's exact test, two-sided.
    p: float


def rate(hits: int, of: int, interval: Interval = "wilson") -> Rate | None:
    """``hits`` of ``of`` with its interval; None of nothing."""
    if of == 0:
        return None
    low, high = {"wilson": _wilson, "clopper-pearson": _clopper_pearson}[interval](hits, of)
    return Rate(hits, of, hits / of, low, high)


def _wilson(hits: int, of: int) -> tuple[float, float]:
    # Wilson (1927), Probable inference, the law of succession, and statistical inference; eq. 4 of Brown, Cai &
    # DasGupta (2001). At 0 and 1 the end is the value itself, whatever rounding makes of it.
    from scipy.special import ndtri

    z2 = float(ndtri(0.5 + CONFIDENCE / 2)) ** 2
    value = hits / of
    centre = (value + z2 / (2 * of)) / (1 + z2 / of)
    half = (z2 * (value * (1 - value) / of + z2 / (4 * of * of))) ** 0.5 / (1 + z2 / of)
    return (0.0 if hits == 0 else centre - half, 1.0 if hits == of else centre + half)


def _clopper_pearson(hits: int, of: int) -> tuple[float, float]:
    # Clopper & Pearson (1934): quantiles of beta distributions. Never shorter than it says, often longer.
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if hits == 0 else float(betaincinv(hits, of - hits + 1, tail))
    high = 1.0 if hits == of else float(betaincinv(hits + 1, of - hits, 1 - tail))
    return low, high


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided p of McNemar's exact test: whether two answers to the same images are right equally often.

    Under that hypothesis the images on which only one was right are a fair coin's throws (McNemar, 1947; the exact
    form is the binomial test of them). 1 where there are none.
    """
    from scipy.special import bdtr

    thrown = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), thrown, 0.5))) if thrown else 1.0


def paired(both: int, only_first: int, only_second: int, neither: int) -> Paired | None:
    """How much oftener the second is right than the first, over the same images; None of no images.

    The interval is method 10 of Newcombe (1998), Improved confidence intervals for the difference between binomial
    proportions based on paired data: the two Wilson intervals, with the correlation of the pairs.
    """
    of = both + only_first + only_second + neither
    if of == 0:
        return None
    first, second = both + only_first, both + only_second
    low1, high1 = _wilson(first, of)
    low2, high2 = _wilson(second, of)
    margins = first * (of - first) * second * (of - second)
    covariance = both * neither - only_first * only_second
    # Newcombe's continuity correction: a positive correlation is taken half an image per image smaller.
    corrected = max(covariance - of / 2, 0) if covariance > 0 else covariance
    correlation = corrected / margins**0.5 if margins else 0.0
    down1, up1, down2, up2 = first / of - low1, high1 - first / of, second / of - low2, high2 - second / of
    difference = (only_second - only_first) / of
    low = difference - (down2**2 - 2 * correlation * down2 * up1 + up1**2) ** 0.5
    high = difference + (up2**2 - 2 * correlation * up2 * down1 + down1**2) ** 0.5
    p = mcnemar(only_first, only_second)
    return Paired(only_first, only_second, of, difference, max(-1.0, low), min(1.0, high), p)


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values of several tests, adjusted so that all of them together err as seldom as one would.

    Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    adjusted = [0.0] * len(ps)
    worst = 0.0
    for rank, number in enumerate(sorted(range(len(ps)), key=lambda number: ps[number])):
        worst = max(worst, min(1.0, (len(ps) - rank) * ps[number]))
        adjusted[number] = worst
    return adjusted
