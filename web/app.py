"""The web application: its routes, its error pages, and the guard in front of them."""

from collections.abc import Callable
from functools import cache
from threading import Lock

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from db.errors import Away, SmoothvoteError, WrongUse
from db.outage import passes, reason
from report.pictures import Pictures
from web import api, browse, compare, pages, pictures, workers
from web.guard import Guard
from web.record import Record
from web.render import page


def make_app(
    record: Record,
    draw: Callable[[], Pictures] | None,
    *,
    token: str | None = None,
    hosts: frozenset[str] | None = None,
) -> Guard:
    """The pages as an ASGI application.

    Args:
        record: the record that they show.
        draw: gives the Pictures that draw images. It is called once, for the first picture, because it may import
            torch. None: the pages have no pictures.
        token: see Guard.
        hosts: see Guard.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.record = record
    app.state.draw = draw and _once(draw)
    for routes in (pages.routes, browse.routes, compare.routes, pictures.routes, workers.routes, api.routes):
        app.include_router(routes)
    app.add_exception_handler(SmoothvoteError, _told)
    app.add_exception_handler(DBAPIError, _away)
    app.add_exception_handler(PoolTimeout, _away)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _bug)
    return Guard(app, token=token, hosts=hosts)


def _once(make: Callable[[], Pictures]) -> Callable[[], Pictures]:
    kept, lock = cache(make), Lock()

    def get() -> Pictures:
        with lock:  # a page asks for many pictures at once, and only one thread may import torch
            return kept()

    return get


def line(request: Request, status: int, text: str) -> Response:
    """One line that says what is wrong: a page, or JSON, or plain text in place of a picture."""
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, status)
    if request.url.path.startswith(("/pictures/", "/static/")):
        return PlainTextResponse(text, status)
    return page("error.html", status, line=text)


def _told(request: Request, error: Exception) -> Response:
    return line(request, 404 if isinstance(error, WrongUse) and not isinstance(error, Away) else 503, str(error))


def _away(request: Request, error: Exception) -> Response:
    if not passes(error):
        raise error
    return line(request, 503, f"{reason(error)}; try again when it is back")


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for no other error
    first = error.errors()[0]
    return line(request, 422, f"{first['loc'][-1]}: {first['msg'][0].lower()}{first['msg'][1:]}")


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for no other error
    return line(request, error.status_code, "there is no such page" if error.status_code == 404 else error.detail)


def _bug(request: Request, error: Exception) -> Response:
    return line(request, 500, "this page failed because of a bug: the terminal of `smoothvote serve` shows the error")
