"""Risk against coverage: what the vote and confidence thresholding get wrong of what they accept, a panel a level."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.errors import WrongUse
from report.plots import Plot, check_plot_file
from report.plots.style import LINES, drawable, figure

if TYPE_CHECKING:
    from report.report import Level, Report

FLAG = "risk-coverage"


def draw(report: "Report", file: Path) -> None:
    """Draws risk, the share of the accepted that is wrong, against coverage, as the threshold falls.

    El-Yaniv & Wiener (2010), On the foundations of noise-free selective classification. The vote's operating points are
    marked, with the intervals of their accuracies.

    Raises:
        WrongUse: if no picture can be written to the file, or no predicted image has a label.
    """
    from report.documents.report import headline
    from report.stats import CONFIDENCE

    check_plot_file(file, FLAG)
    levels = [level for level in report.levels if level.labelled]
    if not levels:
        raise WrongUse(f"--{FLAG} {file}: no image of run {report.run.id} that is predicted has a label")
    columns = min(2, len(levels))
    rows = -(-len(levels) // columns)
    title = f"{headline(report)}\nmarks: 3 of 3 agree, 2 of 3 agree, always; bars: their {CONFIDENCE:.0%} intervals"
    with figure(file, title, rows, columns, figsize=(4.2 * columns, 3.2 * rows + 1.2), squeeze=False) as (drawn, grid):
        for axes, level in zip(grid.flat, levels, strict=False):
            _draw_level(axes, level, f"{report.run.axis.at(level.value)}, {level.labelled} images")
        for axes in list(grid.flat)[len(levels) :]:
            axes.set_axis_off()
        drawn.supxlabel("coverage: share of the images accepted", fontsize=10)
        drawn.supylabel("risk: share of the accepted that is wrong", fontsize=10)


def _draw_level(axes: Any, level: "Level", title: str) -> None:
    curves = (("confidence thresholding", level.curve_confidence, "acc_ns"), ("the vote", level.curve_vote, "acc_maj"))
    for name, curve, like in curves:
        colour, _, dash = LINES[like]
        axes.plot(*zip(*curve, strict=True), label=name, color=colour, linestyle="--" if like == "acc_ns" else dash)
    colour, marker, _ = LINES["acc_maj"]
    for point in level.operating_points:
        if point.coverage and (rate := point.accuracy):
            ends = [[rate.high - rate.value], [rate.value - rate.low]]
            place = (point.coverage.value, 1 - rate.value)
            axes.errorbar(*place, yerr=ends, color=colour, marker=marker, capsize=3, linewidth=0.8)
    axes.set_title(drawable(title), fontsize=10, parse_math=False)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, None)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, frameon=False)


MEMBER = Plot(
    name="risk_coverage",
    of="report",
    flag=FLAG,
    needs_labels=True,
    shows="risk against coverage, of the vote and of confidence thresholding",
    draw=draw,
)
