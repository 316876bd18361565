"""What the rates, views and tests are called where people read them: in tables, plots and pages."""

from db.recipe import DEFAULT_PERTURBATION, DEFAULT_SMOOTHER, Recipe
from report.report import RATES, Report
from report.stats import CONFIDENCE, Interval

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
}
#: What a line in a plot is called, where that is not its title.
LINE_NAMES = TITLES | {
    "acc_maj": "Selective accuracy of the vote (Acc Maj)",
    "acc_maj_overall": "Acc Maj overall, a reject counting as wrong",
    "reject_rate": "Reject rate",
    "thresholding": "Selective accuracy of confidence thresholding, same coverage",
}
#: The rates that a table shows, and those of a run without labels.
SHOWN = RATES[:6]
SHOWN_UNLABELLED = ("reject_rate", "unanimous_rate", "agree_ss", "agree_ds")
INTERVAL_NAMES: dict[Interval, str] = {"wilson": "Wilson", "clopper-pearson": "Clopper–Pearson"}
POINT_NAMES = {"unanimous": "3 of 3 agree", "majority": "2 of 3 agree", "always": "always"}
OTHER_NAMES = {"ss": "SS − NS", "ds": "DS − NS", "maj": "vote − NS"}


def method(recipe: Recipe) -> str:
    """What a recipe measures, in a few words: the model, and what is not the default."""
    precision = "" if recipe.precision == "exact" else f", {recipe.precision}"
    perturbation = "" if recipe.perturbation == DEFAULT_PERTURBATION else f", {recipe.perturbation}"
    smoother = "" if recipe.smoother == DEFAULT_SMOOTHER else f", smoothed by {recipe.smoother}"
    return f"{recipe.model}{precision}{perturbation}{smoother}"


def legend(report: Report) -> str:
    """What the columns of the report's rates mean."""
    interval = f"Rates have {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} intervals."
    if not report.labelled:
        return (
            "Three views of an image: without smoothing (NS), smoothed once (SS), twice (DS). Reject: no two views agree. "
            f"All agree: all three do. {interval}"
        )
    return (
        "NS, SS, DS: right unsmoothed, smoothed once, smoothed twice. Acc Maj: right among the accepted; overall: a "
        f"reject is wrong. {interval}"
    )


PAIRS_TITLE = "Against no smoothing: the same images, answered twice"
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
