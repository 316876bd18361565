"""Two runs: accuracy of the vote and without smoothing against the level, as under two attackers."""

from pathlib import Path
from typing import TYPE_CHECKING

from report.plots import Plot, check_plot_file
from report.plots.style import draw_line, figure, level_axis, level_step, share_axis

if TYPE_CHECKING:
    from report.comparison import Comparison

#: The line of a report that each is drawn like, by the run's place and the view. The second run's are broken.
LIKE = {(0, "ns"): "acc_ns", (0, "maj"): "acc_maj", (1, "ns"): "acc_ss", (1, "maj"): "reject_rate"}


def draw(comparison: "Comparison", file: Path) -> None:
    """Draws four lines with their intervals: the vote, a reject counting as wrong, and NS, of both runs.

    Raises:
        WrongUse: if no picture can be written to the file, or no image has a label.
    """
    from db.errors import WrongUse
    from report.documents.comparison import headlines
    from report.names import INTERVAL_NAMES
    from report.stats import CONFIDENCE

    check_plot_file(file, MEMBER.flag)
    levels = [level for level in comparison.levels if level.labelled]
    if not levels:
        raise WrongUse(f"--{MEMBER.flag}: no image that both runs predicted has a label: there is no accuracy to draw")
    bars = f"bars: {CONFIDENCE:.0%} {INTERVAL_NAMES[comparison.interval]} interval"
    title = "\n".join([*headlines(comparison), bars])
    values = [level.value for level in levels]
    step = level_step(values) * 0.04
    axis, runs = comparison.first.axis, _names(comparison)
    with figure(file, title, 1, 1, figsize=(7, 5)) as (_, axes):
        for number, ((place, view), like) in enumerate(LIKE.items()):
            points = []
            for level in levels:
                if found := level.views[view]:
                    rate = (found.first, found.second)[place]
                    points.append((level.value + step * (number - 1.5), rate.value, rate.low, rate.high))
            draw_line(axes, points, like, f"{'vote' if view == 'maj' else 'NS'}, {runs[place]}")
        share_axis(axes, "robust accuracy" if axis.kind == "attack" else "accuracy")
        axes.set_ylim(0, None)
        level_axis(axes, values, axis)


def _names(comparison: "Comparison") -> tuple[str, str]:
    """What tells the runs apart: what their attackers know, or their names."""
    from report.attack import KNOWS, attacker

    first, second = comparison.first, comparison.second
    one, two = attacker(first.recipe), attacker(second.recipe)
    if first.axis.kind == "attack" and one != two:
        return f"the attacker {KNOWS[one]}", f"the attacker {KNOWS[two]}"
    return first.name, second.name


MEMBER = Plot(
    name="robustness",
    of="comparison",
    flag="robustness",
    needs_labels=True,
    shows="the accuracy of both runs against the level",
    draw=draw,
)
