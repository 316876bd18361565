"""Pictures of images. Their address names a run and an image, never a path. The front door provides who draws them."""

from typing import Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import PlainTextResponse, Response

from db.runs import RunInfo, find_run
from db.store import Entry
from report.story import entry_of, find_image
from web.asked import ImageId, RunName, TheRecord, level_of
from web.record import Record

routes = APIRouter()

#: A run's picture never changes: an image whose file changed gets an error instead.
KEEP = {"Cache-Control": "private, max-age=86400"}
NO_PILLOW = "pictures need Pillow on the machine that serves: pip install 'smoothvote[worker]'"
NO_TORCH = "views need torch on the machine that serves: pip install 'smoothvote[worker]'"


@routes.get("/pictures/{run}/{image}/thumbnail")
def thumbnail(request: Request, record: TheRecord, run: RunName, image: ImageId) -> Response:
    """The image, small."""
    draw = request.app.state.draw
    if draw is None:
        return PlainTextResponse(NO_PILLOW, 404)
    found, entry = _find(record, run, image)
    return Response(draw().thumbnail(found, entry), media_type="image/jpeg", headers=KEEP)


@routes.get("/pictures/{run}/{image}/{view}")
def view(
    request: Request,
    record: TheRecord,
    run: RunName,
    image: ImageId,
    view: Literal["ns", "ss", "ds"],
    level: float = Query(),
) -> Response:
    """One view at one level, as the model saw it."""
    draw = request.app.state.draw
    if draw is None:
        return PlainTextResponse(NO_PILLOW, 404)
    found, entry = _find(record, run, image)
    return Response(draw().view(found, entry, level_of(found, level), view), media_type="image/png", headers=KEEP)


def _find(record: Record, name: str, image_id: int) -> tuple[RunInfo, Entry]:
    # This ends the database session before the picture is drawn, which takes longer.
    with record.reading() as session:
        run = find_run(session, name)
        return run, entry_of(find_image(session, run, image_id))
