"""Accuracy and rejects against the level, and what gets through an attack: readable in print and in grey."""

from pathlib import Path
from typing import TYPE_CHECKING

from report.plots import Plot, check_plot_file
from report.plots.style import draw_line, figure, level_axis, level_step, share_axis

if TYPE_CHECKING:
    from report.report import Report

#: Rates that are drawn below the accuracies.
BELOW = ("reject_rate", "attack_success", "attack_success_thresholding")


def draw(report: "Report", file: Path) -> None:
    """Draws the rates of a report with their intervals; beside the vote's, those of confidence thresholding.

    Raises:
        WrongUse: if no picture can be written to the file.
    """
    from report.documents.report import headline
    from report.names import ATTACK_LINE_NAMES, DRAWN, INTERVAL_NAMES, LINE_NAMES
    from report.stats import CONFIDENCE

    check_plot_file(file)
    title = f"{headline(report)}\nbars: {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} interval"
    attacked = report.run.axis.kind == "attack"
    names = ATTACK_LINE_NAMES if attacked else {name: LINE_NAMES[name] for name in DRAWN}
    values = [level.value for level in report.levels]
    step = level_step(values) * 0.04
    with figure(file, title, 2, 1, sharex=True, figsize=(7, 6.5), height_ratios=(3, 1.2)) as (_, (accuracy, rejects)):
        for number, (name, shown) in enumerate(names.items()):
            axes = rejects if name in BELOW else accuracy
            shift = 0 if name == "reject_rate" else step * (number - 2.5)
            points = [(level.value + shift, rate) for level in report.levels if (rate := level.rate(name))]
            if points:
                line = [(value, rate.value, rate.low, rate.high) for value, rate in points]
                draw_line(axes, line, name, shown)
        share_axis(accuracy, "robust accuracy" if attacked else "accuracy")
        share_axis(rejects, "share of images" if attacked else "reject rate")
        for axes in (accuracy, rejects):
            axes.set_ylim(0, None)
        level_axis(rejects, values, report.run.axis)


MEMBER = Plot(name="rates", of="report", flag="plot", shows="the rates against the level", draw=draw)
