"""The same as plain JSON: runs, how far one has come, its report."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from db.runs import Progress, RunInfo, find_run, list_runs, progress
from report.data import to_json
from web.asked import PageNumber, RunName, TheRecord
from web.render import state

routes = APIRouter(prefix="/api")

#: Runs on a page.
RUNS = 25


@routes.get("/runs")
def runs(record: TheRecord, number: PageNumber = 1) -> JSONResponse:
    """Runs, the newest first, a page of them."""
    if not record.begun:
        return JSONResponse({"runs": [], "of": 0})
    with record.reading() as session:
        found = list_runs(session)
        shown = [progress_json(run, progress(session, run)) for run in found[(number - 1) * RUNS : number * RUNS]]
    return JSONResponse({"runs": shown, "of": len(found)})


@routes.get("/runs/{run}")
def run(record: TheRecord, run: RunName) -> JSONResponse:
    """A run's report, as `smoothvote report --format json` prints it."""
    with record.reading() as session:
        found = find_run(session, run)
        return JSONResponse(to_json(record.report(session, found, progress(session, found))))


@routes.get("/runs/{run}/progress")
def run_progress(record: TheRecord, run: RunName) -> JSONResponse:
    """How far a run has come: cheap, to be asked often."""
    with record.reading() as session:
        found = find_run(session, run)
        return JSONResponse(progress_json(found, progress(session, found)))


def progress_json(run: RunInfo, so_far: Progress) -> dict[str, Any]:
    """A run and how far it has come, as plain data."""
    return {
        "id": run.id,
        "name": run.name,
        "model": run.recipe.model,
        "dataset": run.dataset,
        "state": state(so_far),
        "expected": so_far.expected,
        "done": so_far.done,
        "failed": so_far.failed,
        "skipped": so_far.skipped,
        "waits_for": so_far.note,
    }
