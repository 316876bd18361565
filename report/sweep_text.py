"""A grid of runs as table, csv, json, markdown, latex: a run a row, a noise level a column, the best marked."""

import json
from collections.abc import Callable
from typing import Any

from rich.table import Table

from db.errors import plain
from report.report_text import INTERVAL_NAMES, TITLES
from report.stats import CONFIDENCE, Rate
from report.sweep import LESS_IS_BETTER, Cell, Grid, to_json
from report.text import latex, markdown, markdown_text, render, to_csv, with_ends, with_interval

#: Beside a rate: no cell has a better one at that level.
MARK = "*"


def format_grid(grid: Grid, form: str) -> str:
    """A grid as table, csv, json, markdown or latex, without a newline at the end."""
    return {
        "table": _table,
        "csv": _csv,
        "json": lambda grid: json.dumps(to_json(grid), indent=2),
        "markdown": lambda grid: "\n".join(
            markdown(_head(grid), _rows(grid, with_interval), f"{markdown_text(headline(grid))}. {legend(grid)}")
        ),
        "latex": lambda grid: "\n".join(
            latex(_head(grid), _rows(grid, with_interval), f"{headline(grid)}. {legend(grid)}")
        ),
    }[form](grid)


def headline(grid: Grid) -> str:
    """What is shown, of what, and whether it is all there: one line."""
    reports = [cell.report for cell in grid.cells if cell.report]
    images = f" on {reports[0].run.dataset} ({reports[0].run.expected} images)" if reports else ""
    done = sum(cell.complete for cell in grid.cells)
    state = "complete" if grid.complete else f"INCOMPLETE: {done} of {len(grid.cells)} runs are complete"
    return plain(" ".join(f"{TITLES[grid.metric]} of {len(grid.cells)} runs{images}: {state}".split()))


def legend(grid: Grid) -> str:
    """How to read the rates, and how not to."""
    least = "the least" if grid.metric in LESS_IS_BETTER else "the best"
    rates = f"Rates with their {CONFIDENCE:.0%} {INTERVAL_NAMES[grid.interval]} intervals, each of one run by itself."
    if not any(map(grid.best, grid.levels)):
        return rates
    return (
        f"{rates} {MARK} {least} at its level of the runs that are complete. Who picks the best of many picks luck with it: its rate is "
        "optimistic, and other images will give less. `smoothvote compare RUN RUN` tests two of them over the same images, adjusted "
        "for the levels (Holm), not for the choice."
    )


def _head(grid: Grid) -> list[str]:
    pending = [] if grid.complete else ["pending"]
    return ["model", "kernel", "kernel σ", "run", *pending, *(f"σ = {sigma:g}" for sigma in grid.levels)]


def _rows(grid: Grid, shown: Callable[[Rate | None], str]) -> list[list[str]]:
    best = {sigma: [cell.run_id for cell in grid.best(sigma)] for sigma in grid.levels}
    rows = []
    for cell in grid.cells:
        recipe = cell.recipe
        size = f"{recipe.kernel_size}×{recipe.kernel_size}"
        pending = [] if grid.complete else [_pending(cell)]
        rates = []
        for sigma in grid.levels:
            mark = f" {MARK}" if cell.run_id in best[sigma] else ""
            rates.append(shown(grid.rate(cell, sigma)) + mark)
        rows.append([plain(recipe.model), size, f"{recipe.kernel_sigma:g}", cell.run_id, *pending, *rates])
    return rows


def _pending(cell: Cell) -> str:
    if cell.refused:
        return "refused"
    return str(max(level.pending for level in cell.report.levels)) if cell.report else "all"


def _table(grid: Grid) -> str:
    table = Table()
    for title in _head(grid):
        table.add_column(title, justify="right" if title in ("pending", "kernel σ") else "left")
    for row in _rows(grid, with_ends):
        table.add_row(*row)
    return render(table, above=headline(grid), below=legend(grid))


def _csv(grid: Grid) -> str:
    rows = [_csv_row(grid, cell, sigma) for cell in grid.cells for sigma in grid.levels]
    return to_csv(list(rows[0]), rows)


def _csv_row(grid: Grid, cell: Cell, sigma: float) -> dict[str, Any]:
    level, rate = cell.level(sigma), grid.rate(cell, sigma)
    return {
        "run": cell.run_id,
        "model": cell.recipe.model,
        "kernel_size": cell.recipe.kernel_size,
        "kernel_sigma": cell.recipe.kernel_sigma,
        "refused": cell.refused,
        "sigma": sigma,
        "predicted": level and level.predicted,
        "pending": level and level.pending,
        grid.metric: rate and rate.value,
        f"{grid.metric}_low": rate and rate.low,
        f"{grid.metric}_high": rate and rate.high,
        "best": cell in grid.best(sigma),
    }
