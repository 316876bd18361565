"""The answer of a certified run in words: on how many images is what guaranteed, and with what probability?"""

from itertools import groupby

from report.certified import Best, Certified
from report.certified_level import CertifiedLevel
from report.text import so_far

#: The radius of the example, if any image is certified there and images do not stop early at another one.
EXAMPLE = 0.5

NOTHING = "No image could be predicted: `smoothvote images RUN --outcome failed` says why."

#: Of a run that stops early, while images are pending.
WAITING = "Images are pending. Those that stop first are those that are easiest to decide, so rates wait until all have stopped."


def verdict(found: Certified) -> str:
    """What is certified on how many images, which σ certifies most, how often it abstains, and what is guaranteed."""
    predicted = [level for level in found.levels if level.predicted]
    levels = [level for level in predicted if level.abstention_rate]
    if predicted and not levels:
        return f"{WAITING} {guarantee(found)}"
    if not levels:
        return NOTHING if found.complete else "No image has all its copies yet."
    said = _labelled(found) if any(level.labelled for level in levels) else [_unlabelled(levels)]
    waiting = [WAITING] if len(levels) < len(predicted) else []
    text = " ".join([*said, _abstentions(levels), guarantee(found), *_stopping(found), *waiting])
    return text if found.complete else so_far(text)


def guarantee(found: Certified) -> str:
    """What a certificate promises, and with what probability it is wrong."""
    if found.alpha is None:
        return "The files do not say α, the probability with which each certificate may be wrong."
    return (
        f"Each certificate is wrong with probability at most α = {found.alpha:g}, over the draws of noise. It is about the "
        "smoothed classifier, whose label is the one that the model gives most often under this noise."
    )


def _stopping(found: Certified) -> list[str]:
    """How many copies images needed that stop early, and what it does to the radii."""
    if found.stopped is None or found.stopped.mean_copies is None:
        return []
    stopped, rule = found.stopped, found.stopped.rule
    return [
        f"An image needed {stopped.mean_copies:.0f} of {rule.n} copies on average, {stopped.saved:.0%} fewer, because it "
        f"stops once it is known whether it is certified at radius {rule.radius:g}. Each bound is at α/{len(rule.looks)}, "
        f"for the looks at which an image may stop. An image's radius may exceed {rule.radius:g}; with all copies it would "
        "usually be larger." + (f" Images stopped for α = {rule.alpha:g}." if found.alpha != rule.alpha else "")
    ]


def _labelled(found: Certified) -> list[str]:
    certifying = [best for best in found.envelope if best.sigma is not None]
    if not certifying:
        return ["No labelled image is certified with its true label, at any σ."]
    limit = found.stopped.rule.radius if found.stopped else EXAMPLE
    example = max((best for best in certifying if best.radius <= limit), key=lambda best: best.radius)
    said = [
        f"With σ = {example.sigma:g}, {example.rate.value:.3f} of the labelled images are certified at radius "
        f"{example.radius:g}: their label is right, and no change of the model's input {_shorter(example.radius)} alters it."
    ]
    highest = [f"highest with {_by_sigma(certifying)}"] if len(found.levels) > 1 else []
    none = [f"0 from radius {best.radius:g} on" for best in found.envelope if best.sigma is None][:1]
    if highest or none:
        said.append(f"Certified accuracy is {', and '.join([*highest, *none])}.")
    return said


def _shorter(radius: float) -> str:
    return f"shorter than {radius:g} in L2" if radius else "within its own radius in L2"


def _by_sigma(certifying: list[Best]) -> str:
    """Which σ is best at which radii, the smallest radius first."""
    said = []
    for sigma, alike in groupby(certifying, lambda best: best.sigma):
        radii = [best.radius for best in alike]
        where = f"radius {radii[0]:g}" if len(radii) == 1 else f"radii {radii[0]:g} to {radii[-1]:g}"
        said.append(f"σ = {sigma:g} at {where}")
    return ", ".join(said)


def _unlabelled(levels: list[CertifiedLevel]) -> str:
    medians = ", ".join(f"{level.radius_quantiles[1]:.3f} at σ = {level.sigma:g}" for level in levels)
    return f"No image has a label, so certified accuracy is unknown. Median certified radius: {medians}."


def _abstentions(levels: list[CertifiedLevel]) -> str:
    shares = ", ".join(
        f"{level.abstention_rate.value:.3f} at σ = {level.sigma:g}" for level in levels if level.abstention_rate
    )
    return f"Share of images without a certificate: {shares}."
