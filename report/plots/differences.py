"""Two runs: how much more often the second is right than the first, at each level."""

from pathlib import Path
from typing import TYPE_CHECKING

from report.plots import Plot, check_plot_file
from report.plots.style import draw_line, figure, level_axis, level_step, share_axis

if TYPE_CHECKING:
    from report.comparison import Comparison

#: The line of a report that each difference is drawn like.
LIKE = {"ns": "acc_ns", "ss": "acc_ss", "ds": "acc_ds", "maj": "acc_maj_overall", "reject": "reject_rate"}


def draw(comparison: "Comparison", file: Path) -> None:
    """Draws the differences of the views and the vote, and of the rejects, with their intervals.

    Raises:
        WrongUse: if no picture can be written to the file.
    """
    from report.documents.comparison import NAMES, headlines
    from report.stats import CONFIDENCE

    check_plot_file(file)
    title = "\n".join([*headlines(comparison), f"bars: Newcombe's {CONFIDENCE:.0%} interval of paired differences"])
    values = [level.value for level in comparison.levels]
    step = level_step(values) * 0.06
    with figure(file, title, 2, 1, sharex=True, figsize=(7, 7), height_ratios=(2, 1.2)) as (drawn, (accuracy, rejects)):
        for number, (name, like) in enumerate(LIKE.items()):
            axes = rejects if name == "reject" else accuracy
            shift = 0 if name == "reject" else step * (number - 1.5)
            points = []
            for level in comparison.levels:
                if compared := level.reject if name == "reject" else level.views[name]:
                    pair = compared.tested.pair
                    points.append((level.value + shift, pair.difference, pair.low, pair.high))
            if points:
                draw_line(axes, points, like, NAMES[name])
        for axes, shown in ((accuracy, "share right"), (rejects, "share rejected")):
            axes.axhline(0, color="black", linewidth=0.8)
            share_axis(axes, shown)
        level_axis(rejects, values, comparison.first.axis)
        drawn.supylabel("second run − first run", fontsize=10)


MEMBER = Plot(name="differences", of="comparison", flag="plot", shows="the differences against the level", draw=draw)
