"""The numbers of randomized smoothing: from the labels of noisy copies of an image to a label, a bound and a radius.

Source: Cohen, Rosenfeld & Kolter (2019), Certified adversarial robustness via randomized smoothing, Algorithms PREDICT
and CERTIFY. The smoothed classifier gives an image the label that the model gives its noisy copies most often. Some
copies select the label, others estimate its probability p; where p is surely above 1/2, no change of the image that is
shorter than σ·Φ⁻¹(p) in L2 changes the label (Theorem 1).
"""

import math
from statistics import NormalDist

from db.bound import lower_bound
from db.errors import WrongUse

#: The probability with which a certificate may be wrong, where nobody chooses another: the paper's.
ALPHA = 0.001
#: The radii at which certified accuracy is reported, in L2 distance of the model's input, whose pixels are in [0, 1].
RADII = tuple(number / 4 for number in range(13))


def radius(p: float, sigma: float) -> float | None:
    """The certified L2 radius σ·Φ⁻¹(p) of a label that has at least this probability; None, to abstain, if p ≤ 1/2.

    Args:
        p: a lower bound for the probability of the label, below 1.
        sigma: the standard deviation of the noise, in the unit of the model's input in [0, 1].
    """
    return sigma * NormalDist().inv_cdf(p) if p > 0.5 else None


def certified_radius(hits: int, of: int, sigma: float, alpha: float) -> float | None:
    """The radius of CERTIFY: None where it abstains.

    Args:
        hits: copies with the selected label, among those that estimate.
        of: number of copies that estimate.
        sigma: the standard deviation of the noise.
        alpha: the probability with which the certificate may be wrong.
    """
    return radius(lower_bound(hits, of, alpha), sigma)


def predicts(first: int, second: int, alpha: float) -> bool:
    """Whether PREDICT answers with the most frequent label, rather than abstain.

    It answers if a fair coin would split these copies so unequally with a probability of at most ``alpha``.

    Args:
        first: copies with the most frequent label.
        second: copies with the second most frequent one.
        alpha: the probability with which the answer may not be that of the smoothed classifier.
    """
    from scipy.special import bdtr

    # The test of stats.mcnemar, which sums in whole numbers: too slow for thousands of images.
    return 2 * float(bdtr(second, first + second, 0.5)) <= alpha


def least_copies(alpha: float) -> int:
    """The fewest copies that can certify anything: if all have one label, the bound α^(1/n) exceeds 1/2."""
    return math.floor(-math.log2(alpha)) + 1


def largest_radius(of: int, sigma: float, alpha: float) -> float:
    """The radius if all copies that estimate have one label: the largest there is; 0 if the copies are too few."""
    return certified_radius(of, of, sigma, alpha) or 0.0


def check_alpha(alpha: float) -> None:
    """Checks that α is a probability with which certificates may be wrong: a smaller one than that of being right.

    Raises:
        WrongUse: if it is not above 0 and below 1/2.
    """
    if not 0 < alpha < 0.5:
        raise WrongUse(f"--alpha {alpha:g}: give a probability above 0 and below 0.5, such as {ALPHA}")


def check_copies(n: int, alpha: float, *, looks: int = 1) -> None:
    """Checks that so many copies can certify something at this α.

    Args:
        n: number of copies that estimate.
        alpha: the probability with which each certificate may be wrong.
        looks: at how many looks an image may stop: each bound is at α divided by their number.

    Raises:
        WrongUse: if α is out of range, or all images would be abstentions.
    """
    check_alpha(alpha)
    if n >= (least := least_copies(alpha / looks)):
        return
    if looks == 1:
        raise WrongUse(
            f"--n {n}: so few copies certify nothing at α = {alpha:g}, even if all have one label; give --n {least} or "
            "more, or a larger --alpha"
        )
    raise WrongUse(
        f"--alpha {alpha:g}: each bound is at α/{looks}, for the looks at which an image may stop, and {n} copies certify "
        "nothing there, even if all have one label; give a larger --alpha"
    )
