"""Statistics of the report."""

from typing import NamedTuple

#: Coverage of every interval.
CONFIDENCE = 0.95


class Rate(NamedTuple):
    """A share with its denominator and its 95 % Wilson interval."""

    hits: int
    of: int
    value: float
    low: float
    high: float


def rate(hits: int, of: int) -> Rate | None:
    """``hits`` of ``of``, with Wilson's score interval; None of nothing.

    Wilson (1927), Probable inference, the law of succession, and statistical inference; eq. 4 of
    Brown, Cai & DasGupta (2001).
    """
    if of == 0:
        return None
    # scipy.special, not scipy.stats: the report must start within a second, and stats takes most of one to import.
    from scipy.special import ndtri

    z2 = float(ndtri(0.5 + CONFIDENCE / 2)) ** 2
    value = hits / of
    centre = (value + z2 / (2 * of)) / (1 + z2 / of)
    half = (z2 * (value * (1 - value) / of + z2 / (4 * of * of))) ** 0.5 / (1 + z2 / of)
    return Rate(hits, of, value, max(0.0, centre - half), min(1.0, centre + half))
