"""A sweep of runs as a picture: a heat map of the kernels for each model and noise level."""

from pathlib import Path
from typing import Any

from report.names import TITLES
from report.plots.rates import check_plot_file
from report.sweep import Cell, Sweep
from report.sweep_text import MARK, headline

#: Even to the eye from end to end, in grey too, and to the colour-blind.
COLOURS = "viridis"


def plot_sweep(sweep: Sweep, file: Path) -> None:
    """Writes the heat maps to a .png, .svg or .pdf: a row a model, a column a level, with colours of its own.

    Colours reach from end to end of the cells' intervals: what differs by chance alone looks much alike.

    Raises:
        WrongUse: for another ending, or a folder that is not there.
    """
    check_plot_file(file)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    models = list(dict.fromkeys(cell.recipe.model for cell in sweep.cells))
    sizes = sorted({cell.recipe.kernel_size for cell in sweep.cells})
    sigmas = sorted({cell.recipe.kernel_sigma for cell in sweep.cells})
    panel = (max(2.4, 0.75 * len(sigmas) + 0.6), max(1.6, 0.5 * len(sizes) + 0.8))
    size = (panel[0] * len(sweep.levels) + 0.8, panel[1] * len(models) + 1.4)
    figure, panels = pyplot.subplots(len(models), len(sweep.levels), figsize=size, layout="constrained", squeeze=False)
    for column, level in enumerate(sweep.levels):
        best = sweep.best(level)
        rates = [rate for cell in sweep.cells if (rate := sweep.rate(cell, level))]
        ends = (min((rate.low for rate in rates), default=0), max((rate.high for rate in rates), default=1))
        colours = ScalarMappable(Normalize(*ends), COLOURS)
        for row, model in enumerate(models):
            axes = panels[row][column]
            axes.set_facecolor("lightgrey")  # where nothing was found
            axes.set_xlim(-0.5, len(sigmas) - 0.5)
            axes.set_ylim(-0.5, len(sizes) - 0.5)
            for cell in sweep.cells:
                if cell.recipe.model == model:
                    where = (sigmas.index(cell.recipe.kernel_sigma), sizes.index(cell.recipe.kernel_size))
                    _draw(axes, where, sweep, cell, level, colours, in_front=cell in best)
            axes.set_xticks(range(len(sigmas)), [f"{sigma:g}" for sigma in sigmas])
            axes.set_yticks(range(len(sizes)), [f"{size}×{size}" for size in sizes] if column == 0 else [])
            if row == 0:
                axes.set_title(rf"noise level $\sigma$ = {level:g}", fontsize=10)
            if row == len(models) - 1:
                axes.set_xlabel(r"kernel $\sigma$, pixels", fontsize=9)
            if column == 0:
                axes.set_ylabel(f"{model.rsplit('/', 1)[-1]}\nkernel", fontsize=9, parse_math=False)
        bar = figure.colorbar(colours, ax=panels[:, column], location="bottom", aspect=14, pad=0.03)
        bar.set_label(TITLES[sweep.metric], fontsize=8)
        bar.ax.tick_params(labelsize=7)
    figure.suptitle(
        f"{headline(sweep)}\n{MARK} and frame: the best at its level", fontsize=9, wrap=True, parse_math=False
    )
    figure.savefig(file, dpi=150)
    pyplot.close(figure)


def _draw(
    axes: Any, where: tuple[int, int], sweep: Sweep, cell: Cell, level: float, colours: Any, *, in_front: bool
) -> None:
    """One cell: its colour, its rate in figures that can be read on it, and a frame if it is the best."""
    from matplotlib.patches import Rectangle

    rate = sweep.rate(cell, level)
    if rate is None:
        axes.text(*where, "–", ha="center", va="center", fontsize=8)
        return
    red, green, blue, _ = fill = colours.to_rgba(rate.value)
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
    corner = (where[0] - 0.48, where[1] - 0.48)
    frame = "#D55E00" if in_front else "none"
    axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=fill, edgecolor=frame, linewidth=2))
    axes.text(*where, f"{rate.value:.3f}{MARK if in_front else ''}", ha="center", va="center", fontsize=8, color=ink)
