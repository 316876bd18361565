"""The report as a picture: accuracy and rejects against noise, readable in print and in grey."""

import os
from itertools import pairwise
from pathlib import Path

from db.errors import WrongUse
from db.formats import TITLES, headline
from db.report import Report
from db.stats import CONFIDENCE

SUFFIXES = (".png", ".svg", ".pdf")

#: Told apart by marker and dash as well as by colour (Okabe & Ito's palette, safe for the colour-blind).
LINES = {
    "acc_ns": ("#0072B2", "o", "-"),
    "acc_ss": ("#E69F00", "s", "--"),
    "acc_ds": ("#009E73", "^", "-."),
    "acc_maj": ("#000000", "D", "-"),
    "acc_maj_overall": ("#7F7F7F", "v", ":"),
    "reject_rate": ("#D55E00", "X", "--"),
}
NAMES = TITLES | {
    "acc_maj": "Acc Maj (of the accepted)",
    "acc_maj_overall": "Acc Maj (of all)",
    "reject_rate": "Rejected",
}


def plot_report(report: Report, file: Path) -> None:
    """Writes the picture to a .png, .svg or .pdf.

    Raises:
        WrongUse: for another ending, or a folder that is not there.
    """
    check_plot_file(file)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (accuracy, rejects) = pyplot.subplots(
        2, 1, sharex=True, figsize=(7, 6.5), height_ratios=(3, 1.2), layout="constrained"
    )
    sigmas = [level.sigma for level in report.levels]
    # Side by side, or the intervals would hide one another.
    step = min((high - low for low, high in pairwise(sigmas)), default=1) * 0.04
    for number, (name, (colour, marker, dash)) in enumerate(LINES.items()):
        axes = rejects if name == "reject_rate" else accuracy
        shift = 0 if name == "reject_rate" else step * (number - 2)
        points = [(level.sigma + shift, share) for level in report.levels if (share := level.rate(name))]
        if not points:
            continue
        values = [share.value for _, share in points]
        errors = (
            [share.value - share.low for _, share in points],
            [share.high - share.value for _, share in points],
        )
        axes.errorbar(
            [sigma for sigma, _ in points], values, yerr=errors, label=NAMES[name],
            color=colour, marker=marker, linestyle=dash, markersize=6, capsize=3, linewidth=1.6, elinewidth=0.8,
        )  # fmt: skip
    for axes, title in ((accuracy, "accuracy"), (rejects, "reject rate")):
        axes.set_ylabel(title)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
    rejects.set_xlabel(r"noise level $\sigma$ (standard deviation, pixels in [0, 1])")
    rejects.set_xticks(sigmas, [f"{sigma:g}" for sigma in sigmas])
    figure.suptitle(
        f"{headline(report)}\nbars: {CONFIDENCE:.0%} Wilson interval", fontsize=9, wrap=True, parse_math=False
    )
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def check_plot_file(file: Path) -> None:
    """Says before the work, not after it, that a picture cannot be written there.

    Raises:
        WrongUse: for an ending that is not a picture's, or a folder that is not there.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise WrongUse(f"--plot {file}: end the name in {', '.join(SUFFIXES)}")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise WrongUse(f"--plot {file}: there is no folder {folder}")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise WrongUse(f"--plot {file}: it cannot be written")
