"""The pages behind a report: the images that a number counts, one image, and the classes."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session
from starlette.responses import Response

from db.classes import class_names
from db.errors import WrongUse
from db.runs import RunInfo, find_run, progress
from report.kind import require_votes
from report.names import TITLES
from report.stats import rate
from report.story import story
from web.asked import GalleryAsked, ImageId, Level, PageNumber, RunName, TheRecord, Word, class_asked, level_of, one_of
from web.classes import ORDERS, class_table, in_order
from web.gallery import FAILURES, PAGE, SELECTIONS, Wanted, tiles
from web.pictures import NO_PILLOW, NO_TORCH
from web.render import level_text, link, page

routes = APIRouter()

#: Classes on a page.
CLASSES = 50
#: Columns of the table of classes. The key is what the column sorts by.
COLUMNS = {
    "label": "class",
    "predicted": "images",
    "acc_ns": TITLES["acc_ns"],
    "acc_maj": f"Selective accuracy ({TITLES['acc_maj']})",
    "acc_maj_overall": TITLES["acc_maj_overall"],
    "reject_rate": TITLES["reject_rate"],
}


@routes.get("/runs/{run}/images")
def images(request: Request, record: TheRecord, run: RunName, asked: Annotated[GalleryAsked, Depends()]) -> Response:
    """The images that a number counts, one page at a time."""
    one_of("outcome", asked.outcome, {**SELECTIONS, **FAILURES})
    with record.reading() as session:
        found = _of_votes(session, run)
        wanted = _wanted(found, asked)
        shown = tiles(session, found, wanted, after=asked.after, limit=PAGE + 1)
        so_far = progress(session, found)
    at = partial(
        link,
        *("runs", found.id, "images"),
        level=None if wanted.level is None else level_text(wanted.level),
        outcome=wanted.outcome,
        class_=wanted.label,
        voted=wanted.voted,
        code=wanted.code,
    )
    names = class_names(found.recipe)
    return page(
        "images.html",
        run=found,
        wanted=wanted,
        tiles=shown[:PAGE],
        after=asked.after,
        first=at(),
        more=at(after=shown[PAGE - 1].image_id) if len(shown) > PAGE else None,
        selections={**{name: one.words for name, one in SELECTIONS.items()}, **FAILURES},
        names=names,
        called="" if wanted.label is None else _unambiguous(names, wanted.label),
        complete=so_far.complete,
        no_pictures=None if request.app.state.draw else NO_PILLOW,
    )


def _of_votes(session: Session, name: str) -> RunInfo:
    """The run of votes that has this name.

    Raises:
        WrongUse: if there is none, or it has certificates.
    """
    found = find_run(session, name)
    require_votes(found, f"`smoothvote images {found.id}` lists its images")
    return found


def _wanted(run: RunInfo, asked: GalleryAsked) -> Wanted:
    """What the query asks of this run. Failures are of every level, predictions of one."""
    # The form keeps a failure's code when a person chooses another outcome: then the outcome counts.
    code = asked.code if asked.outcome is None or asked.outcome in FAILURES else None
    failures = code is not None or asked.outcome in FAILURES
    return Wanted(
        level=None if failures else level_of(run, asked.level),
        outcome=asked.outcome,
        label=None if asked.called is None else class_asked(run.recipe, asked.called),
        voted=asked.voted,
        code=code,
    )


def _unambiguous(names: dict[int, str], label: int) -> str:
    # Two classes of ImageNet are called sunglasses, and two missile.
    return names[label] if list(names.values()).count(names[label]) == 1 else str(label)


@routes.get("/runs/{run}/images/{image}")
def image(request: Request, record: TheRecord, run: RunName, image: ImageId) -> Response:
    """One image at each level."""
    with record.reading() as session:
        found = find_run(session, run)
        told = story(session, found, image)
    draw = request.app.state.draw
    return page(
        "image.html",
        run=found,
        story=told,
        names=class_names(found.recipe),
        side=(found.preprocessing or {}).get("crop") or 224,
        no_pictures=None if draw else NO_PILLOW,
        no_views=None if draw and draw().has_views else NO_TORCH,
    )


@routes.get("/runs/{run}/classes")
def classes(
    record: TheRecord,
    run: RunName,
    level: Level = None,
    sort: Word = "acc_maj_overall",
    down: bool = False,
    number: PageNumber = 1,
) -> Response:
    """The accuracy of each class at one level, and the most frequent confusions."""
    order = sort or "acc_maj_overall"
    one_of("sort", order, ORDERS)
    with record.reading() as session:
        found = _of_votes(session, run)
        level = level_of(found, level)
        so_far = progress(session, found)
        table = record.once(("classes", found.id, level), lambda: class_table(session, found, level), so_far)
    at = partial(link, "runs", found.id, "classes", level=level_text(level))
    last = max(1, -(-len(table.classes) // CLASSES))
    if number > last:
        raise WrongUse(f"there is no page {number} of classes: the last is {last}")
    return page(
        "classes.html",
        run=found,
        level=level,
        classes=in_order(table.classes, order, descending=down)[(number - 1) * CLASSES : number * CLASSES],
        of=len(table.classes),
        confusions=table.confusions,
        order=order,
        down=down,
        number=number,
        last=last,
        columns=COLUMNS,
        sorted_by=lambda name: at(sort=name, down=int(down != (name == order))),
        pages_of=lambda number: at(sort=order, down=int(down), page=number),
        complete=so_far.complete,
        rate=rate,
        names=class_names(found.recipe),
    )
