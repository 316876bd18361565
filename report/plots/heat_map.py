"""A sweep: a heat map of the kernels for each model and level."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from report.plots import Plot, check_plot_file
from report.plots.style import drawable, figure

if TYPE_CHECKING:
    from report.sweep import Sweep
    from report.swept import SweptRun

#: Even to the eye from end to end, in grey too, and to the colour-blind.
COLOURS = "viridis"
BEST_FRAME = "#D55E00"


def draw(sweep: "Sweep", file: Path) -> None:
    """Draws a row a model and perturbation, and a column a level, each column with colours of its own.

    Colours reach from end to end of the rates' intervals, so rates that differ by chance alone look much alike.

    Raises:
        WrongUse: if no picture can be written to the file.
    """
    from report.documents.sweep import MARK, headline

    check_plot_file(file)
    rows = list(dict.fromkeys((run.recipe.model, run.recipe.perturbation) for run in sweep.runs))
    sizes = sorted({run.recipe.kernel_size for run in sweep.runs})
    sigmas = sorted({run.recipe.kernel_sigma for run in sweep.runs})
    panel = (max(2.4, 0.75 * len(sigmas) + 0.6), max(1.6, 0.5 * len(sizes) + 0.8))
    size = (panel[0] * len(sweep.levels) + 0.8, panel[1] * len(rows) + 1.4)
    title = f"{headline(sweep)}\n{MARK} and frame: the best at its level"
    with figure(file, title, len(rows), len(sweep.levels), figsize=size, squeeze=False) as (drawn, panels):
        for column, level in enumerate(sweep.levels):
            colours = _colours(sweep, level)
            for row, (model, perturbation) in enumerate(rows):
                axes = panels[row][column]
                runs = [
                    run for run in sweep.runs if (run.recipe.model, run.recipe.perturbation) == (model, perturbation)
                ]
                _draw_panel(axes, sweep, level, runs, sizes, sigmas, colours)
                axes.set_yticks(range(len(sizes)), [f"{size}×{size}" for size in sizes] if column == 0 else [])
                if column == 0:
                    under = f"\n{drawable(perturbation)}" if len(sweep.perturbations) > 1 else ""
                    axes.set_ylabel(
                        f"{drawable(model.rsplit('/', 1)[-1])}{under}\nkernel", fontsize=9, parse_math=False
                    )
            panels[0][column].set_title(drawable(sweep.axis.at(level)), fontsize=10, parse_math=False)
            panels[-1][column].set_xlabel("kernel σ, pixels", fontsize=9)
            _draw_bar(drawn, panels[:, column], colours, sweep.metric)


def _colours(sweep: "Sweep", level: float) -> Any:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    rates = [rate for run in sweep.runs if (rate := sweep.rate(run, level))]
    ends = (min((rate.low for rate in rates), default=0), max((rate.high for rate in rates), default=1))
    return ScalarMappable(Normalize(*ends), COLOURS)


def _draw_bar(drawn: Any, column: Any, colours: Any, metric: str) -> None:
    from report.names import TITLES

    bar = drawn.colorbar(colours, ax=column, location="bottom", aspect=14, pad=0.03)
    bar.set_label(TITLES[metric], fontsize=8)
    bar.ax.tick_params(labelsize=7)


def _draw_panel(
    axes: Any, sweep: "Sweep", level: float, runs: list["SweptRun"], sizes: list[int], sigmas: list[float], colours: Any
) -> None:
    """The runs of one model and perturbation at one level: a field a kernel."""
    axes.set_facecolor("lightgrey")  # where nothing was found
    axes.set_xlim(-0.5, len(sigmas) - 0.5)
    axes.set_ylim(-0.5, len(sizes) - 0.5)
    best = sweep.best(level)
    for run in runs:
        where = (sigmas.index(run.recipe.kernel_sigma), sizes.index(run.recipe.kernel_size))
        _draw_run(axes, where, sweep, run, level, colours, is_best=run in best)
    axes.set_xticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])


def _draw_run(
    axes: Any, where: tuple[int, int], sweep: "Sweep", run: "SweptRun", level: float, colours: Any, *, is_best: bool
) -> None:
    """One run: its colour, its rate in figures that can be read on it, and a frame if it is the best."""
    from matplotlib.patches import Rectangle

    from report.documents.sweep import MARK

    rate = sweep.rate(run, level)
    if rate is None:
        axes.text(*where, "–", ha="center", va="center", fontsize=8)
        return
    red, green, blue, _ = fill = colours.to_rgba(rate.value)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
    corner = (where[0] - 0.48, where[1] - 0.48)
    frame = BEST_FRAME if is_best else "none"
    axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=fill, edgecolor=frame, linewidth=2))
    axes.text(*where, f"{rate.value:.3f}{MARK if is_best else ''}", ha="center", va="center", fontsize=8, color=ink)


MEMBER = Plot(name="heat_map", of="sweep", flag="plot", shows="a heat map of the kernels at each level", draw=draw)
