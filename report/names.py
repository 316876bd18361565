"""What the rates, views and tests are called where people read them: in tables, plots and pages."""

from collections.abc import Collection

from db.recipe import DEFAULT_PERTURBATION, DEFAULT_SMOOTHER, Recipe
from report.attack import KNOWS, attacker
from report.report import Report
from report.stats import CONFIDENCE, Interval

#: The smoother that leaves an image as it is.
NO_SMOOTHER = "none"
#: The fields of a recipe that set a smoother's kernel. Some smoothers use only one of them, or none.
KERNEL = ("kernel_size", "kernel_sigma")
#: What stands over a rate's column.
TITLES = {
    "acc_ns": "Acc NS",
    "acc_ss": "Acc SS",
    "acc_ds": "Acc DS",
    "acc_maj": "Acc Maj",
    "acc_maj_overall": "Acc Maj overall",
    "reject_rate": "Reject",
    "coverage": "Coverage",
    "unanimous_rate": "All agree",
    "agree_ss": "SS = NS",
    "agree_ds": "DS = NS",
    "attack_success": "Attack success",
    "attack_success_thresholding": "Attack success, thresholding",
}
#: What a line in a plot is called, where that is not its title.
LINE_NAMES = TITLES | {
    "acc_maj": "Selective accuracy of the vote (Acc Maj)",
    "acc_maj_overall": "Acc Maj overall, a reject counting as wrong",
    "reject_rate": "Reject rate",
    "thresholding": "Selective accuracy of confidence thresholding, same coverage",
}
#: The lines of a report's plot, in the order in which they are drawn.
DRAWN = ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "acc_maj_overall", "thresholding", "reject_rate")
#: The same under attack; these lines alone are drawn.
ATTACK_LINE_NAMES = {
    "acc_ns": "NS",
    "acc_ss": "SS",
    "acc_ds": "DS",
    "acc_maj_overall": "Vote, a reject counting as wrong",
    "reject_rate": "Reject rate",
    "attack_success": "Attack success (accepted and wrong)",
    "attack_success_thresholding": "Attack success with confidence thresholding, same coverage",
}
#: The rates that a table shows of a run without labels.
SHOWN_UNLABELLED = ("reject_rate", "unanimous_rate", "agree_ss", "agree_ds")
INTERVAL_NAMES: dict[Interval, str] = {"wilson": "Wilson", "clopper-pearson": "Clopper–Pearson"}
POINT_NAMES = {"unanimous": "3 of 3 agree", "majority": "2 of 3 agree", "always": "always"}
OTHER_NAMES = {"ss": "SS − NS", "ds": "DS − NS", "maj": "vote − NS"}


def called(recipe: Recipe, uses: Collection[str] = KERNEL) -> str:
    """A recipe among others of a sweep: its model and how it smooths. ``uses`` is as for smoothing()."""
    model = recipe.model.rpartition("/")[2].partition("@")[0]
    return " ".join(part for part in (model, *smoothing(recipe, uses)) if part)


def smoothing(recipe: Recipe, uses: Collection[str] = KERNEL) -> tuple[str, str]:
    """How a recipe smooths: size and standard deviation of the Gaussian kernel, or another smoother's name and both.

    Args:
        recipe: names the smoother.
        uses: those of KERNEL that its smoother uses; the others change nothing and are left out.
    """
    size = f"{recipe.kernel_size}×{recipe.kernel_size}" if "kernel_size" in uses else ""
    sigma = f"σ {recipe.kernel_sigma:g}" if "kernel_sigma" in uses else ""
    if recipe.smoother == DEFAULT_SMOOTHER:
        return size, sigma
    return recipe.smoother, " ".join(part for part in (size, sigma) if part)


def method(recipe: Recipe) -> str:
    """What a recipe measures, in a few words: the model, and what is not the default."""
    precision = "" if recipe.precision == "exact" else f", {recipe.precision}"
    perturbation = "" if recipe.perturbation == DEFAULT_PERTURBATION else f", {recipe.perturbation}"
    if dict(recipe.options or ()).get("attacker"):
        perturbation += f" by an attacker who {KNOWS[attacker(recipe)]}"
    smoother = "" if recipe.smoother == DEFAULT_SMOOTHER else f", smoothed by {recipe.smoother}"
    if recipe.certifies:
        smoother = "" if recipe.smoother == NO_SMOOTHER else f", each copy smoothed by {recipe.smoother}"
    return f"{recipe.model}{precision}{perturbation}{smoother}"


def legend(report: Report) -> str:
    """What the columns of the report's rates mean."""
    interval = f"{CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} intervals."
    if not report.labelled:
        return (
            "Three views of an image: without smoothing (NS), smoothed once (SS), twice (DS). Reject: no two views agree. "
            f"All agree: all three do. {interval}"
        )
    return (
        "NS, SS, DS: right unsmoothed, smoothed once, twice. Acc Maj: right of what the majority vote accepts; overall: "
        f"of all, a reject is wrong. {interval}"
    )


def attack_legend(report: Report) -> str:
    """What the columns of an attack's rates mean."""
    return (
        "Robust: right under attack, unsmoothed (NS), smoothed once (SS), smoothed twice (DS); in the vote a reject is wrong. "
        "Reject: the attack is detected. Attack success: accepted and wrong; by thresholding: where confidence thresholding "
        f"accepts as many images. Rates have {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} intervals."
    )


PAIRS_TITLE = "Against the unsmoothed view, image by image"
PAIRS_LEGEND = (
    "Saved: NS is wrong and the vote right. Lost: NS is right and the vote wrong or rejecting. Differences are between "
    f"shares of right answers, with Newcombe's {CONFIDENCE:.0%} interval for paired proportions. p: McNemar's exact test, "
    "adjusted for the number of levels (Holm)."
)
POINTS_TITLE = "Against confidence thresholding, which accepts as many images: those where NS is most confident"
POINTS_LEGEND = (
    "The vote accepts an image if so many views agree; always: NS decides where none agree. Accuracy is selective: right among the "
    "accepted. Difference: share of all images that are accepted and right, vote less thresholding; interval and p as above."
)
