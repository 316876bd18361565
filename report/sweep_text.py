"""A sweep of runs as table, csv, json, markdown, latex: a run a row, a noise level a column, the best marked."""

import json
from collections.abc import Callable
from typing import Any

from rich.table import Table

from db.errors import plain
from report.names import INTERVAL_NAMES, TITLES
from report.stats import CONFIDENCE, Rate
from report.sweep import LESS_IS_BETTER, Cell, Sweep, to_json
from report.text import latex, markdown, markdown_text, render, to_csv, with_ends, with_interval

#: Beside a rate: no cell has a better one at that level.
MARK = "*"


def format_sweep(sweep: Sweep, form: str) -> str:
    """A sweep as table, csv, json, markdown or latex, without a newline at the end."""
    return {
        "table": _table,
        "csv": _csv,
        "json": lambda sweep: json.dumps(to_json(sweep), indent=2),
        "markdown": lambda sweep: "\n".join(
            markdown(_head(sweep), _rows(sweep, with_interval), f"{markdown_text(headline(sweep))}. {legend(sweep)}")
        ),
        "latex": lambda sweep: "\n".join(
            latex(_head(sweep), _rows(sweep, with_interval), f"{headline(sweep)}. {legend(sweep)}")
        ),
    }[form](sweep)


def headline(sweep: Sweep) -> str:
    """What is shown, of what, and whether it is all there: one line."""
    reports = [cell.report for cell in sweep.cells if cell.report]
    images = f" on {reports[0].run.dataset} ({reports[0].run.expected} images)" if reports else ""
    done = sum(cell.complete for cell in sweep.cells)
    state = "complete" if sweep.complete else f"INCOMPLETE: {done} of {len(sweep.cells)} runs are complete"
    return plain(" ".join(f"{TITLES[sweep.metric]} of {len(sweep.cells)} runs{images}: {state}".split()))


def legend(sweep: Sweep) -> str:
    """How to read the rates, and how not to."""
    least = "the least" if sweep.metric in LESS_IS_BETTER else "the best"
    rates = f"Rates with their {CONFIDENCE:.0%} {INTERVAL_NAMES[sweep.interval]} intervals, each of one run by itself."
    if not any(map(sweep.best, sweep.levels)):
        return rates
    return (
        f"{rates} {MARK} {least} at its level of the runs that are complete. Who picks the best of many picks luck with it: its rate is "
        "optimistic, and other images will give less. `smoothvote compare RUN RUN` tests two of them over the same images, adjusted "
        "for the levels (Holm), not for the choice."
    )


def _head(sweep: Sweep) -> list[str]:
    pending = [] if sweep.complete else ["pending"]
    return ["model", "kernel", "kernel σ", "run", *pending, *(f"σ = {value:g}" for value in sweep.levels)]


def _rows(sweep: Sweep, shown: Callable[[Rate | None], str]) -> list[list[str]]:
    best = {value: [cell.run_id for cell in sweep.best(value)] for value in sweep.levels}
    rows = []
    for cell in sweep.cells:
        recipe = cell.recipe
        size = f"{recipe.kernel_size}×{recipe.kernel_size}"
        pending = [] if sweep.complete else [_pending(cell)]
        rates = []
        for value in sweep.levels:
            mark = f" {MARK}" if cell.run_id in best[value] else ""
            rates.append(shown(sweep.rate(cell, value)) + mark)
        rows.append([plain(recipe.model), size, f"{recipe.kernel_sigma:g}", cell.run_id, *pending, *rates])
    return rows


def _pending(cell: Cell) -> str:
    if cell.refused:
        return "refused"
    return str(max(level.pending for level in cell.report.levels)) if cell.report else "all"


def _table(sweep: Sweep) -> str:
    table = Table()
    for title in _head(sweep):
        table.add_column(title, justify="right" if title in ("pending", "kernel σ") else "left")
    for row in _rows(sweep, with_ends):
        table.add_row(*row)
    return render(table, above=headline(sweep), below=legend(sweep))


def _csv(sweep: Sweep) -> str:
    rows = [_csv_row(sweep, cell, value) for cell in sweep.cells for value in sweep.levels]
    return to_csv(list(rows[0]), rows)


def _csv_row(sweep: Sweep, cell: Cell, value: float) -> dict[str, Any]:
    level, rate = cell.level(value), sweep.rate(cell, value)
    return {
        "run": cell.run_id,
        "model": cell.recipe.model,
        "kernel_size": cell.recipe.kernel_size,
        "kernel_sigma": cell.recipe.kernel_sigma,
        "refused": cell.refused,
        **cell.recipe.level_fields(value),
        "predicted": level and level.predicted,
        "pending": level and level.pending,
        sweep.metric: rate and rate.value,
        f"{sweep.metric}_low": rate and rate.low,
        f"{sweep.metric}_high": rate and rate.high,
        "best": cell in sweep.best(value),
    }
