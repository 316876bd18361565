"""The pages behind a report: the images of a number, one image, and the classes."""

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from db.classes import class_names
from db.errors import WrongUse
from db.runs import find_run, progress
from report.names import TITLES
from report.stats import rate
from report.story import story
from web.asked import (
    After,
    ClassName,
    ImageId,
    Level,
    PageNumber,
    RunName,
    TheRecord,
    Voted,
    Word,
    class_asked,
    level_of,
    one_of,
)
from web.classes import ORDERS, class_table, in_order
from web.gallery import FAILURES, PAGE, SELECTIONS, Wanted, tiles
from web.pictures import NO_TORCH
from web.render import level_text, link, page

routes = APIRouter()

#: Classes on a page.
CLASSES = 50
#: Columns of the table of classes, by what they sort by.
COLUMNS = {
    "label": "class",
    "predicted": "images",
    "acc_ns": TITLES["acc_ns"],
    "acc_maj": TITLES["acc_maj"],
    "acc_maj_overall": TITLES["acc_maj_overall"],
    "reject_rate": TITLES["reject_rate"],
}


@routes.get("/runs/{run}/images")
def images(
    request: Request,
    record: TheRecord,
    run: RunName,
    level: Level = None,
    outcome: Word = None,
    called: ClassName = None,
    voted: Voted = None,
    code: Word = None,
    after: After = 0,
) -> Response:
    """The images behind a number, a page at a time."""
    one_of("outcome", outcome, {**SELECTIONS, **FAILURES})
    with record.reading() as session:
        found = find_run(session, run)
        label = None if called is None else class_asked(found.recipe, called)
        if outcome is not None and outcome not in FAILURES:
            code = None  # it is of a failure, and stayed in the form when another outcome was chosen
        failures = bool(code) or outcome in FAILURES
        wanted = Wanted(
            level=None if failures else level_of(found, level), outcome=outcome, label=label, voted=voted, code=code
        )
        shown = tiles(session, found, wanted, after=after, limit=PAGE + 1)
        so_far = progress(session, found)
    asked = {
        "level": None if wanted.level is None else level_text(wanted.level),
        "outcome": outcome,
        "class_": label,
        "voted": voted,
        "code": code,
    }
    more = link("runs", found.id, "images", **asked, after=shown[PAGE - 1].image_id) if len(shown) > PAGE else None
    return page(
        "images.html",
        run=found,
        wanted=wanted,
        tiles=shown[:PAGE],
        after=after,
        first=link("runs", found.id, "images", **asked),
        more=more,
        selections={**{name: one.words for name, one in SELECTIONS.items()}, **FAILURES},
        names=class_names(found.recipe),
        called="" if label is None else _unambiguous(class_names(found.recipe), label),
        complete=so_far.complete,
        pictured=request.app.state.draw is not None,
        no_pictures=NO_TORCH,
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
    side = (found.preprocessing or {}).get("crop") or 224
    return page(
        "image.html",
        run=found,
        story=told,
        names=class_names(found.recipe),
        side=side,
        pictured=request.app.state.draw is not None,
        no_pictures=NO_TORCH,
    )


@routes.get("/runs/{run}/classes")
def classes(
    request: Request,
    record: TheRecord,
    run: RunName,
    level: Level = None,
    sort: Word = "acc_maj_overall",
    down: bool = False,
    number: PageNumber = 1,
) -> Response:
    """Class by class, and what is taken for what."""
    order = sort or "acc_maj_overall"
    one_of("sort", order, ORDERS)
    with record.reading() as session:
        found = find_run(session, run)
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
