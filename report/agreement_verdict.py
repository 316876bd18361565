"""The answer of a verification in words: how much of a run is found again, and what a difference means."""

from report.agreement import Agreement
from report.stats import CONFIDENCE


def verdict(found: Agreement) -> str:
    """Whether the sample agrees, what that says of the whole run, and what explains the differences."""
    if found.images is None:
        return "Nothing could be compared: no image of the sample can be computed here."
    whole = found.images.of == found.run.expected  # there are no other images to speak of
    interval = f" ({CONFIDENCE:.0%} interval {found.images.low:.1%} to {found.images.high:.1%} of the run's images)"
    share = "" if whole else interval
    of = f"{found.images.of} image{'s' * (found.images.of > 1)}"
    what = "every count" if found.run.recipe.certifies else "every label and every vote"
    if found.images.hits == found.images.of:
        said = f"All {of} agree: {what} is found here as it is stored{share}."
    else:
        differ = found.images.of - found.images.hits
        said = f"{differ} of {of} {'differs' if differ == 1 else 'differ'}; {found.images.value:.1%} agree{share}."
    return f"{said}{_left_out(found)} {_expected(found)}".rstrip()


def _left_out(found: Agreement) -> str:
    number = len(found.left_out)
    return (
        f" {number} more cannot be computed here and {'is' if number == 1 else 'are'} not compared." if number else ""
    )


def _expected(found: Agreement) -> str:
    """What explains the differences; "" if there are none."""
    if not found.differences:
        return ""
    recipe, origin = found.run.recipe, found.origin
    if not origin.same_weights or not origin.same_preprocessing:
        return (
            "The weights or the preprocessing here are not the run's: compare with the run's own before you conclude."
        )
    if found.run.axis.kind == "attack":
        return (
            "An attack follows the model's outputs or gradients, whose last bits differ between devices, engines and "
            "versions: some differences are expected where one of these is another."
        )
    if recipe.precision != "exact":
        return "bfloat16 rounds as the device and the engine do: some differences are expected where these are others."
    if recipe.certifies:
        return (
            "Exact counts are those of fp32 everywhere; only copies whose first two labels are tied to the last bits, which is "
            "rare, may change. More means that a row was changed, or an image, without a change of its size."
        )
    return (
        "Exact labels are those of fp32 everywhere; only two labels that are tied to the last bits, which is rare, may "
        "change places. Else a row was changed, or an image, without a change of its size."
    )
