"""A sweep of runs as a document: a run a row, a level a column, the best of each level marked."""

from typing import Any

from report.data import rate_json
from report.document import Cell, Document, Marked, Stacked, Step, Table
from report.documents.corruptions import errors_json, errors_table
from report.names import INTERVAL_NAMES, TITLES
from report.stats import CONFIDENCE
from report.sweep import Sweep
from report.sweep_verdict import verdict
from report.swept import SweptRun

#: Beside a rate: no run has a better one at that level.
MARK = "*"


def document(sweep: Sweep) -> Document:
    """A sweep, as it is printed."""
    shown = [run.run_id for run in sweep.runs if run.report]
    steps = [
        *([Step("one run", f"smoothvote report {shown[0]}")] if shown else []),
        *([Step("two runs", f"smoothvote compare {shown[0]} {shown[1]}")] if len(shown) > 1 else []),
    ]
    return Document(
        headline=[headline(sweep)],
        verdict=verdict(sweep),
        summary=_table(sweep),
        also=[errors_table(one, sweep.called(one.recipe)) for one in sweep.corrupted],
        steps=steps,
        data=to_json(sweep),
        records=[_record(sweep, run, value) for run in sweep.runs for value in run.recipe.levels],
    )


def headline(sweep: Sweep) -> str:
    """Which rate is shown, of how many runs, and whether they are complete: one line."""
    reports = [run.report for run in sweep.runs if run.report]
    images = f" on {reports[0].run.dataset} ({reports[0].run.expected} images)" if reports else ""
    done = sum(run.complete for run in sweep.runs)
    state = "complete" if sweep.complete else f"INCOMPLETE: {done} of {len(sweep.runs)} runs are complete"
    return f"{TITLES[sweep.metric]} of {len(sweep.runs)} runs{images}: {state}"


def legend(sweep: Sweep) -> str:
    """How to read the rates, and how not to."""
    rates = f"Rates have {CONFIDENCE:.0%} {INTERVAL_NAMES[sweep.interval]} intervals, each for one run by itself."
    if not any(map(sweep.best, sweep.levels)):
        return rates
    return (
        f"{rates} {MARK}: the best complete run at its level. The best of many is partly lucky: expect less of it on other "
        "images. `smoothvote compare RUN RUN` tests two runs over the same images, adjusted for the levels (Holm), not for "
        "the choice."
    )


def _table(sweep: Sweep) -> Table:
    several = len(sweep.perturbations) > 1
    pending = [] if sweep.complete else ["pending"]
    best = {value: [run.run_id for run in sweep.best(value)] for value in sweep.levels}
    rows: list[list[Cell]] = []
    for run in sweep.runs:
        row: list[Cell] = [Stacked(run.recipe.model, run.run_id), Stacked(*sweep.smoothing(run.recipe))]
        row += [run.recipe.perturbation] if several else []
        row += [] if sweep.complete else [_pending(run)]
        row += [Marked(sweep.rate(run, value), MARK if run.run_id in best[value] else "") for value in sweep.levels]
        rows.append(row)
    head = ["model, run", "kernel", *(["perturbation"] if several else []), *pending, *map(sweep.axis.at, sweep.levels)]
    return Table(head=head, rows=rows, legend=legend(sweep), keys=3 if several else 2)


def _pending(run: SweptRun) -> Cell:
    if run.refused:
        return "refused"
    return max(level.pending for level in run.report.levels) if run.report else "all"


def to_json(sweep: Sweep) -> dict[str, Any]:
    """The sweep as plain data: ``{"metric": …, "complete": …, "runs": [{…, "levels": […]}]}``."""
    return {
        "metric": sweep.metric,
        "interval": sweep.interval,
        "axis": sweep.axis._asdict(),
        "complete": sweep.complete,
        "verdict": verdict(sweep),
        "corruption_errors": [errors_json(one) for one in sweep.corrupted],
        "runs": [_run_json(sweep, run) for run in sweep.runs],
    }


def _run_json(sweep: Sweep, run: SweptRun) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "name": run.report and run.report.run.name,
        "model": run.recipe.model,
        "perturbation": run.recipe.perturbation,
        "smoother": run.recipe.smoother,
        "kernel_size": run.recipe.kernel_size,
        "kernel_sigma": run.recipe.kernel_sigma,
        "complete": run.complete,
        "refused": run.refused,
        "levels": [
            run.recipe.level_fields(value)
            | {"predicted": level.predicted, "pending": level.pending}
            | rate_json(sweep.metric, sweep.rate(run, value))
            | {"best": run in sweep.best(value)}
            for value in sweep.levels
            if (level := run.level(value))
        ],
    }


def _record(sweep: Sweep, run: SweptRun, value: float) -> dict[str, Any]:
    level, rate = run.level(value), sweep.rate(run, value)
    return {
        "run": run.run_id,
        "model": run.recipe.model,
        "perturbation": run.recipe.perturbation,
        "smoother": run.recipe.smoother,
        "kernel_size": run.recipe.kernel_size,
        "kernel_sigma": run.recipe.kernel_sigma,
        "refused": run.refused,
        **run.recipe.level_fields(value),
        "predicted": level and level.predicted,
        "pending": level and level.pending,
        sweep.metric: rate and rate.value,
        f"{sweep.metric}_low": rate and rate.low,
        f"{sweep.metric}_high": rate and rate.high,
        "best": run in sweep.best(value),
    }
