"""The runs of a record as a document: a run a row, the one that was submitted last first."""

from collections.abc import Iterable
from typing import Any

from db.runs import Progress, RunInfo
from report.document import Cell, Document, Stacked, Step, Table
from report.names import method


def document(runs: Iterable[tuple[RunInfo, Progress]]) -> Document:
    """Runs and how far each has come."""
    found = list(runs)
    return Document(
        headline=[],
        summary=Table(
            head=["run", "name, method", "dataset, images", "done, failed", "submitted, time"],
            rows=[_row(run, so_far) for run, so_far in found],
        ),
        steps=[Step("what a run found", "smoothvote report RUN"), Step("how far it is", "smoothvote status RUN")],
        data=[record(run, so_far) for run, so_far in found],
        records=[record(run, so_far) for run, so_far in found],
    )


def _row(run: RunInfo, so_far: Progress) -> list[Cell]:
    share = f"{so_far.done / max(so_far.expected, 1):.0%}"
    if so_far.word in ("cancelled", "paused"):
        share += f" {so_far.word}"
    if run.priority and not so_far.complete:
        share += f", priority {run.priority}"
    submitted = run.submitted_at.astimezone()
    return [
        run.id,
        Stacked(run.name, method(run.recipe)),
        Stacked(run.dataset, f"{run.expected} images"),
        Stacked(share, f"{so_far.failed} failed" if so_far.failed else ""),
        Stacked(f"{submitted:%Y-%m-%d}", f"{submitted:%H:%M}"),
    ]


def record(run: RunInfo, so_far: Progress) -> dict[str, Any]:
    """One run as plain data."""
    recipe = run.recipe
    row: dict[str, Any] = {"id": run.id, "name": run.name, "model": recipe.model, "dataset": run.dataset}
    row |= {"perturbation": recipe.perturbation, "smoother": recipe.smoother}
    row |= {"expected": so_far.expected, "done": so_far.done, "failed": so_far.failed, "skipped": so_far.skipped}
    row |= {"complete": so_far.complete, "cancelled": so_far.cancelled}
    row |= {"paused": so_far.paused, "priority": run.priority}
    return row | {"created_at": run.created_at.isoformat(), "submitted_at": run.submitted_at.isoformat()}
