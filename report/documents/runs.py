"""The runs of a record as a document: a run a row, the newest first."""

from collections.abc import Iterable
from typing import Any

from db.runs import Progress, RunInfo
from report.document import Cell, Document, Stacked, Step, Table


def document(runs: Iterable[tuple[RunInfo, Progress]]) -> Document:
    """Runs and how far each has come."""
    found = list(runs)
    return Document(
        headline=[],
        summary=Table(
            head=["run", "name, model", "dataset, images", "done, failed", "submitted"],
            rows=[_row(run, so_far) for run, so_far in found],
        ),
        steps=[Step("what a run found", "smoothvote report RUN"), Step("how far it is", "smoothvote status RUN")],
        data=[record(run, so_far) for run, so_far in found],
        records=[record(run, so_far) for run, so_far in found],
    )


def _row(run: RunInfo, so_far: Progress) -> list[Cell]:
    share = f"{so_far.done / max(so_far.expected, 1):.0%}{' cancelled' if so_far.cancelled else ''}"
    created = run.created_at.astimezone()
    return [
        run.id,
        Stacked(run.name, run.recipe.model),
        Stacked(run.dataset, f"{run.expected} images"),
        Stacked(share, f"{so_far.failed} failed" if so_far.failed else ""),
        Stacked(f"{created:%Y-%m-%d}", f"{created:%H:%M}"),
    ]


def record(run: RunInfo, so_far: Progress) -> dict[str, Any]:
    """One run as plain data."""
    row: dict[str, Any] = {"id": run.id, "name": run.name, "model": run.recipe.model, "dataset": run.dataset}
    row |= {"expected": so_far.expected, "done": so_far.done, "failed": so_far.failed, "skipped": so_far.skipped}
    return row | {"complete": so_far.complete, "cancelled": so_far.cancelled}
