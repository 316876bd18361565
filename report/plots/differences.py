"""A comparison of two runs as a picture: what differs at each noise level, and by how much."""

from itertools import pairwise
from pathlib import Path

from report.comparison import Comparison
from report.comparison_text import NAMES, headlines
from report.plots.rates import check_plot_file, draw_line
from report.stats import CONFIDENCE

#: Drawn as the report draws them.
LIKE = {"ns": "acc_ns", "ss": "acc_ss", "ds": "acc_ds", "maj": "acc_maj_overall", "reject": "reject_rate"}


def plot_comparison(comparison: Comparison, file: Path) -> None:
    """Writes the differences with their intervals to a .png, .svg or .pdf.

    Raises:
        WrongUse: for another ending, or a folder that is not there.
    """
    check_plot_file(file)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (accuracy, rejects) = pyplot.subplots(
        2, 1, sharex=True, figsize=(7, 7), height_ratios=(2, 1.2), layout="constrained"
    )
    values = [level.value for level in comparison.levels]
    # Side by side, or the intervals would hide one another.
    step = min((high - low for low, high in pairwise(values)), default=1) * 0.06
    for number, (name, like) in enumerate(LIKE.items()):
        axes = rejects if name == "reject" else accuracy
        shift = 0 if name == "reject" else step * (number - 1.5)
        found = [
            (level.value + shift, compared.tested.pair)
            for level in comparison.levels
            if (compared := level.reject if name == "reject" else level.views[name])
        ]
        if not found:
            continue
        draw_line(axes, [(value, pair.difference, pair.low, pair.high) for value, pair in found], like, NAMES[name])
    for axes, title in ((accuracy, "share right"), (rejects, "share rejected")):
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set_ylabel(title)
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9, frameon=False)
    rejects.set_xlabel(r"noise level $\sigma$ (standard deviation, pixels in [0, 1])")
    rejects.set_xticks(values, [f"{value:g}" for value in values])
    figure.supylabel("second run − first run", fontsize=10)
    title = "\n".join([*headlines(comparison), f"bars: Newcombe's {CONFIDENCE:.0%} interval of paired differences"])
    figure.suptitle(title, fontsize=8, wrap=True, parse_math=False)
    figure.savefig(file, dpi=150)
    pyplot.close(figure)
