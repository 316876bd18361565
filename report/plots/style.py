"""What all plots share: colours, markers and dashes, lines with intervals, axes, and how a figure becomes a file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from db.axis import Axis
from db.errors import plain

#: Told apart by marker and dash as well as by colour (Okabe & Ito's palette, safe for the colour-blind).
LINES = {
    "acc_ns": ("#0072B2", "o", "-"),
    "acc_ss": ("#E69F00", "s", "--"),
    "acc_ds": ("#009E73", "^", "-."),
    "acc_maj": ("#000000", "D", "-"),
    "acc_maj_overall": ("#7F7F7F", "v", ":"),
    "thresholding": ("#CC79A7", "P", (0, (1, 1))),
    "reject_rate": ("#D55E00", "X", "--"),
    "attack_success": ("#56B4E9", "*", "-"),
    "attack_success_thresholding": ("#CC79A7", "p", ":"),
}
#: Lines of a number that is not known before, told apart by colour and dash.
CURVES: tuple[tuple[str, Any], ...] = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#009E73", "-."),
    ("#CC79A7", ":"),
    ("#E69F00", (0, (5, 1))),
    ("#000000", (0, (3, 1, 1, 1))),
)


@contextmanager
def figure(file: Path, title: str, rows: int, columns: int, **options: Any) -> Iterator[tuple[Any, Any]]:
    """A figure and its axes, as pyplot.subplots has them: drawn on inside the block, and written to the file after it.

    Args:
        file: a .png, .svg or .pdf.
        title: text over the figure. What cannot be drawn is replaced in it, and nothing in it is mathematics.
        rows: of axes.
        columns: of axes.
        options: of pyplot.subplots.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(rows, columns, layout="constrained", **options)
    try:
        yield drawn, axes
        shown = "\n".join(map(drawable, title.splitlines()))
        drawn.suptitle(shown, fontsize=9, wrap=True, parse_math=False)
        drawn.savefig(file, dpi=150)
    finally:
        pyplot.close(drawn)


def drawable(text: str) -> str:
    """One line of text with □ for letters that the font lacks, about which matplotlib would warn.

    Control characters are replaced.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    letters = get_font(findfont(FontProperties())).get_charmap()
    return "".join(letter if ord(letter) in letters else "□" for letter in plain(text))


def draw_line(axes: Any, points: Sequence[tuple[float, float, float, float]], like: str, label: str) -> None:
    """A line of (level, value, low, high) with its intervals, drawn as one of LINES."""
    colour, marker, dash = LINES[like]
    errors = ([value - low for _, value, low, _ in points], [high - value for _, value, _, high in points])
    axes.errorbar(
        [level for level, *_ in points], [value for _, value, *_ in points], yerr=errors, label=drawable(label),
        color=colour, marker=marker, linestyle=dash, markersize=6, capsize=3, linewidth=1.6, elinewidth=0.8,
    )  # fmt: skip


def level_step(values: Sequence[float]) -> float:
    """The least distance of two levels. Lines stand a part of it apart, so that their intervals do not overlap."""
    return min((high - low for low, high in pairwise(values)), default=1.0)


def level_axis(axes: Any, values: Sequence[float], axis: Axis) -> None:
    """Labels the horizontal axis with what the levels measure, and ticks it at the levels."""
    axes.set_xlabel(drawable(axis.label), parse_math=False)
    axes.set_xticks(values, [axis.number(value) for value in values])


def share_axis(axes: Any, title: str) -> None:
    """Labels the vertical axis; adds a grid, and a legend if there are lines."""
    axes.set_ylabel(title)
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        for label in axes.legend(fontsize=9, frameon=False).get_texts():
            label.set_parse_math(False)  # a run's name may hold dollar signs
