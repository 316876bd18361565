"""The page of workers: what goes on at the moment."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from report.documents.overview import COLUMNS, ago, does, hardware, queue_line
from report.overview import read_overview, to_json
from web.asked import TheRecord
from web.render import link, page

routes = APIRouter()


@routes.get("/workers")
def workers(record: TheRecord) -> Response:
    """Workers, active runs, and failures; it renews itself."""
    if not record.begun:
        return page("workers.html", overview=None, live=None)
    with record.reading() as session:
        overview = read_overview(session)
    return page(
        "workers.html",
        overview=overview,
        live=link("api", "workers"),
        queue=queue_line(overview.queue),
        ago=ago,
        columns=COLUMNS,
        does=does,
        hardware=hardware,
    )


@routes.get("/api/workers")
def workers_json(record: TheRecord) -> JSONResponse:
    """The same as JSON, as `smoothvote top --format json` prints it."""
    if not record.begun:
        return JSONResponse({"workers": [], "runs": []})
    with record.reading() as session:
        return JSONResponse(to_json(read_overview(session)))
