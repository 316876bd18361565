"""What the rates, views and tests are called where people read them: in tables, plots and pages."""

from report.report import RATES, Report
from report.stats import CONFIDENCE

#: What a person reads in a table's head.
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
#: The rates that a table shows, and those of a run without labels.
SHOWN = RATES[:6]
SHOWN_UNLABELLED = ("reject_rate", "unanimous_rate", "agree_ss", "agree_ds")
INTERVAL_NAMES = {"wilson": "Wilson", "clopper-pearson": "Clopper–Pearson"}
POINT_NAMES = {"unanimous": "3 of 3 agree", "majority": "2 of 3 agree", "always": "always"}
OTHER_NAMES = {"ss": "SS − NS", "ds": "DS − NS", "maj": "vote − NS"}


def legend(report: Report) -> str:
    """What the columns of the report's rates mean."""
    interval = f"After each rate: its {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} interval."
    if not report.labelled:
        return f"Of three views, unsmoothed (NS), smoothed once (SS) and twice (DS). Reject: no two agree. {interval}"
    return (
        "NS, SS, DS: the image unsmoothed, smoothed once, twice. Acc Maj: right among the accepted; "
        f"overall: right among all, a reject counting as wrong. {interval}"
    )


PAIRS_TITLE = "Against no smoothing: the same images, answered twice"
POINTS_TITLE = "Against confidence thresholding: as many images accepted, those of which NS is most confident"
PAIRS_LEGEND = (
    "Saved: NS wrong, the vote right; lost: NS right, the vote wrong or rejecting. Differences: of the shares that are right, "
    f"with Newcombe's {CONFIDENCE:.0%} interval of pairs. p: McNemar's exact test, adjusted for the levels (Holm)."
)
POINTS_LEGEND = (
    "Accepted: where so many views agree; always: where none agree, NS decides. Difference: accepted and right, vote less thresholding, of "
    "all images; interval and p as above."
)
