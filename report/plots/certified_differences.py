"""Two certified runs: certified accuracy of both at each radius, a panel a σ."""

from pathlib import Path
from typing import TYPE_CHECKING

from report.plots import Plot, check_plot_file
from report.plots.style import CURVES, figure, share_axis

if TYPE_CHECKING:
    from report.certified_comparison import CertifiedComparison


def draw(comparison: "CertifiedComparison", file: Path) -> None:
    """Draws certified accuracy of both runs with intervals over the images that both predicted.

    Raises:
        WrongUse: if no picture can be written to the file.
    """
    from report.documents.certified_comparison import conditions
    from report.documents.comparison import headlines
    from report.names import INTERVAL_NAMES
    from report.stats import CONFIDENCE

    check_plot_file(file)
    bars = f"bars: {CONFIDENCE:.0%} {INTERVAL_NAMES[comparison.interval]} interval"
    title = "\n".join([*headlines(comparison), f"{conditions(comparison)}; {bars}"])
    rows = len(comparison.levels)
    options = {"sharex": True, "squeeze": False, "figsize": (7, 1.5 + 2.6 * rows)}
    with figure(file, title, rows, 1, **options) as (_, panels):
        for (axes,), level in zip(panels, comparison.levels, strict=True):
            radii = [at.radius for at in level.radii]
            for number, name in enumerate(("first", "second")):
                colour, dash = CURVES[number]
                rates = [getattr(at.compared, name) for at in level.radii]
                axes.errorbar(
                    radii, [rate.value for rate in rates], label=f"{name} run", color=colour, linestyle=dash,
                    yerr=([rate.value - rate.low for rate in rates], [rate.high - rate.value for rate in rates]),
                    marker="os"[number], markersize=5, capsize=3, linewidth=1.6, elinewidth=0.8,
                )  # fmt: skip
            axes.set_title(f"σ = {level.sigma:g}", fontsize=10)
            share_axis(axes, "certified accuracy")
            axes.set_ylim(0, None)
        panels[-1][0].set_xlabel("L2 radius (model's input in [0, 1])")


MEMBER = Plot(
    name="certified_differences",
    of="certified-comparison",
    flag="plot",
    shows="certified accuracy of both runs",
    draw=draw,
)
