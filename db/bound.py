"""The confidence bound of a certificate, which reports print and early stopping decides by."""

from functools import lru_cache


@lru_cache(maxsize=200_000)
def lower_bound(hits: int, of: int, alpha: float) -> float:
    """The one-sided lower confidence bound for a probability, by Clopper & Pearson (1934).

    Args:
        hits: how many of the trials succeeded.
        of: number of trials.
        alpha: how probable it may be that the bound lies above the true probability.

    Returns:
        The p at which ``hits`` or more successes have the probability ``alpha``; 0 if there are no hits.
    """
    from scipy.special import betaincinv

    return float(betaincinv(hits, of - hits + 1, alpha)) if hits else 0.0
