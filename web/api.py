"""The same content as JSON: the list of runs, the progress of a run, its report."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from db.runs import Progress, RunInfo, count_runs, find_run, list_runs, progress
from report.certified_data import to_json as certified_json
from report.data import to_json
from web.asked import PageNumber, RunName, TheRecord
from web.certified import Alpha, Copies, counted
from web.render import state

routes = APIRouter(prefix="/api")

#: Runs on a page.
RUNS = 25


@routes.get("/runs")
def runs(record: TheRecord, number: PageNumber = 1) -> JSONResponse:
    """One page of runs, the newest first, and how many runs there are."""
    if not record.begun:
        return JSONResponse({"runs": [], "of": 0})
    with record.reading() as session:
        found = list_runs(session, limit=RUNS, offset=(number - 1) * RUNS)
        shown = [progress_json(run, progress(session, run)) for run in found]
        return JSONResponse({"runs": shown, "of": count_runs(session)})


@routes.get("/runs/{run}")
def run(record: TheRecord, run: RunName, alpha: Alpha = None, n: Copies = None) -> JSONResponse:
    """A run's report, as `smoothvote report --format json` prints it. α and n are for one of certificates."""
    with record.reading() as session:
        found = find_run(session, run)
        so_far = progress(session, found)
        if found.recipe.certifies:
            return JSONResponse(certified_json(counted(record, session, found, so_far, alpha, n)))
        return JSONResponse(to_json(record.report(session, found, so_far)))


@routes.get("/runs/{run}/progress")
def run_progress(record: TheRecord, run: RunName) -> JSONResponse:
    """The progress of a run. Cheap, because an open page asks for it every second."""
    with record.reading() as session:
        found = find_run(session, run)
        return JSONResponse(progress_json(found, progress(session, found)))


def progress_json(run: RunInfo, so_far: Progress) -> dict[str, Any]:
    """A run and its progress as plain data."""
    return {
        "id": run.id,
        "name": run.name,
        "model": run.recipe.model,
        "dataset": run.dataset,
        "perturbation": run.recipe.perturbation,
        "smoother": run.recipe.smoother,
        "submitted_at": run.submitted_at.isoformat(),
        "state": state(so_far),
        "paused": so_far.paused,
        "priority": run.priority,
        "expected": so_far.expected,
        "done": so_far.done,
        "failed": so_far.failed,
        "skipped": so_far.skipped,
        "copies": so_far.copies,
        "done_copies": so_far.done_copies,
        "waits_for": so_far.note,
    }
