"""The answer of a comparison of certificates in words: at which σ and radii does which run certify more images?"""

from report.certified_comparison import CertifiedComparison, CertifiedLevelComparison, ComparedAt
from report.certified_verdict import WAITING
from report.tested import Verdict
from report.text import so_far


def verdict(comparison: CertifiedComparison) -> str:
    """At which radii the second run certifies more images than the first, and at which fewer."""
    levels = [level for level in comparison.levels if level.both]
    if not levels:
        return "No image is predicted by both runs yet."
    if comparison.waits:
        return WAITING
    if not any(level.labelled for level in levels):
        text = "No image has a label, so certified accuracy is unknown. " + _abstentions(levels)
    else:
        text = (
            "This compares the second run with the first, image by image, adjusted for the number of σ and radii (Holm). "
            + " ".join(f"σ = {level.sigma:g}: {_radii(level)}." for level in levels)
        )
        if comparison.stops_at is not None:
            text += f" {_stopping(comparison.stops_at)}"
    return text if comparison.complete else so_far(text)


def _stopping(radius: float) -> str:
    return (
        f"Radii up to {radius:g} are compared. A run that stops early asks about its own radius alone: at other radii, and "
        "on average, it certifies less than with all its copies."
    )


def _radii(level: CertifiedLevelComparison) -> str:
    where: dict[Verdict, list[ComparedAt]] = {"better": [], "worse": [], "undecided": []}
    for at in level.radii:
        where[at.compared.tested.verdict].append(at)
    if not level.radii:
        return "neither run certifies any image"
    if len(where["undecided"]) == len(level.radii):
        return "no difference is shown at any radius"
    said = []
    for amount, found in (("more", where["better"]), ("fewer", where["worse"])):
        if found:
            shares = ", ".join(
                f"radius {at.radius:g} ({at.compared.second.value:.3f} against {at.compared.first.value:.3f})"
                for at in found
            )
            said.append(f"the second certifies {amount} images at {shares}")
    if where["undecided"]:
        said.append(f"no difference is shown at {', '.join(f'{at.radius:g}' for at in where['undecided'])}")
    return "; ".join(said)


def _abstentions(levels: list[CertifiedLevelComparison]) -> str:
    shares = ", ".join(
        f"{level.abstains.first.value:.3f} and {level.abstains.second.value:.3f} at σ = {level.sigma:g}"
        for level in levels
        if level.abstains
    )
    return f"Share of images without a certificate, first and second run: {shares}."
