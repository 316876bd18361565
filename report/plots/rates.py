"""The report as a picture: accuracy and rejects against noise, readable in print and in grey."""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from db.errors import WrongUse
from report.names import INTERVAL_NAMES, TITLES
from report.report import Level, Report
from report.report_text import headline
from report.stats import CONFIDENCE, Rate

SUFFIXES = (".png", ".svg", ".pdf")

#: Told apart by marker and dash as well as by colour (Okabe & Ito's palette, safe for the colour-blind).
LINES = {
    "acc_ns": ("#0072B2", "o", "-"),
    "acc_ss": ("#E69F00", "s", "--"),
    "acc_ds": ("#009E73", "^", "-."),
    "acc_maj": ("#000000", "D", "-"),
    "acc_maj_overall": ("#7F7F7F", "v", ":"),
    # What the vote has to beat: as many images accepted, for the softmax of the unsmoothed view alone.
    "thresholding": ("#CC79A7", "P", (0, (1, 1))),
    "reject_rate": ("#D55E00", "X", "--"),
}
NAMES = TITLES | {
    "acc_maj": "Acc Maj (of the accepted)",
    "acc_maj_overall": "Acc Maj (of all)",
    "reject_rate": "Rejected",
    "thresholding": "As many accepted by softmax",
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
    values = [level.value for level in report.levels]
    # Side by side, or the intervals would hide one another.
    step = min((high - low for low, high in pairwise(values)), default=1) * 0.04
    for number, name in enumerate(LINES):
        axes = rejects if name == "reject_rate" else accuracy
        shift = 0 if name == "reject_rate" else step * (number - 2.5)
        points = [(level.value + shift, share) for level in report.levels if (share := _share(level, name))]
        if not points:
            continue
        draw_line(axes, [(value, share.value, share.low, share.high) for value, share in points], name, NAMES[name])
    for axes, title in ((accuracy, "accuracy"), (rejects, "reject rate")):
        axes.set_ylabel(title)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
    rejects.set_xlabel(r"noise level $\sigma$ (standard deviation, pixels in [0, 1])")
    rejects.set_xticks(values, [f"{value:g}" for value in values])
    figure.suptitle(
        f"{headline(report)}\nbars: {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} interval",
        fontsize=9,
        wrap=True,
        parse_math=False,
    )
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def draw_line(axes: Any, points: Sequence[tuple[float, float, float, float]], like: str, label: str) -> None:
    """A line of (level, value, low, high) with its intervals, drawn as one of LINES."""
    colour, marker, dash = LINES[like]
    errors = ([value - low for _, value, low, _ in points], [high - value for _, value, _, high in points])
    axes.errorbar(
        [level for level, *_ in points], [value for _, value, *_ in points], yerr=errors, label=label,
        color=colour, marker=marker, linestyle=dash, markersize=6, capsize=3, linewidth=1.6, elinewidth=0.8,
    )  # fmt: skip


def _share(level: Level, name: str) -> Rate | None:
    return level.point("majority").thresholding if name == "thresholding" else level.rate(name)


def plot_risk_coverage(report: Report, file: Path) -> None:
    """Risk, the share of the accepted that is wrong, against coverage: a panel a level, the vote and its rival.

    El-Yaniv & Wiener (2010), On the foundations of noise-free selective classification. The vote's operating points
    are marked, with the intervals of their accuracies.

    Raises:
        WrongUse: for another ending, a folder that is not there, or a run without labels.
    """
    check_plot_file(file, "risk-coverage")
    levels = [level for level in report.levels if level.labelled]
    if not levels:
        raise WrongUse(f"--risk-coverage {file}: no image of run {report.run.id} that is predicted has a label")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(2, len(levels))
    rows = -(-len(levels) // columns)
    size = (4.2 * columns, 3.2 * rows + 1.2)
    figure, grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes, level in zip(grid.flat, levels, strict=False):
        curves = (("rejecting by softmax", level.curve_confidence, "acc_ns"), ("the vote", level.curve_vote, "acc_maj"))
        for name, curve, like in curves:
            colour, _, dash = LINES[like]
            axes.plot(*zip(*curve, strict=True), label=name, color=colour, linestyle="--" if like == "acc_ns" else dash)
        colour, marker, _ = LINES["acc_maj"]
        for point in level.operating_points:
            if point.coverage and (share := point.accuracy):
                ends = [[share.high - share.value], [share.value - share.low]]
                axes.errorbar(
                    point.coverage.value,
                    1 - share.value,
                    yerr=ends,
                    color=colour,
                    marker=marker,
                    capsize=3,
                    linewidth=0.8,
                )
        axes.set_title(rf"$\sigma$ = {level.value:g}, {level.labelled} images", fontsize=10)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, None)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, frameon=False)
    for axes in list(grid.flat)[len(levels) :]:
        axes.set_axis_off()
    figure.supxlabel("coverage: share of the images accepted", fontsize=10)
    figure.supylabel("risk: share of the accepted that is wrong", fontsize=10)
    figure.suptitle(
        f"{headline(report)}\nmarks: 3 of 3 agree, 2 of 3 agree, always; bars: their {CONFIDENCE:.0%} intervals",
        fontsize=9, wrap=True, parse_math=False,
    )  # fmt: skip
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def check_plot_file(file: Path, flag: str = "plot") -> None:
    """Says before the work, not after it, that a picture cannot be written there.

    Raises:
        WrongUse: for an ending that is not a picture's, or a folder that is not there.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise WrongUse(f"--{flag} {file}: end the name in {', '.join(SUFFIXES)}")
    folder = file.absolute().parent
    if not folder.is_dir():
        raise WrongUse(f"--{flag} {file}: there is no folder {folder}")
    if file.is_dir() or not os.access(file if file.exists() else folder, os.W_OK):
        raise WrongUse(f"--{flag} {file}: it cannot be written")
