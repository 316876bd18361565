"""The certificates of a run, image by image: one row for each image and level, one for each image that failed.

They come in pages along the dataset, so that a million rows take no more memory than a thousand.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.bound import lower_bound
from db.classes import class_names
from db.errors import WrongUse
from db.outcome import without_prediction
from db.runs import RunInfo
from db.tables import Failure, Image
from report.certificate import predicts, radius
from report.certified import Bounds, check_choice
from report.counts import leaders
from report.exports import Page, page_of
from report.rows import PAGE, level_of

#: The type of each column; any but path, n and outcome may be null. docs/reference/python.md says what they mean.
COLUMNS: dict[str, type] = {
    "path": str,
    "level": float,
    "sigma": float,
    "label": int,
    "label_name": str,
    "certified_label": int,
    "certified_label_name": str,
    "abstained": bool,
    "p_lower": float,
    "radius": float,
    "selected": int,
    "hits": int,
    "n": int,
    "predict_label": int,
    "outcome": str,
    "code": str,
    "message": str,
}

#: The outcomes of an image at a level, for the label that is certified. The last two have no level.
OUTCOMES = ("right", "wrong", "abstained", "unlabelled", "failed", "skipped")


def certificate_pages(
    session: Session,
    run: RunInfo,
    *,
    alpha: float | None = None,
    n: int | None = None,
    level: float | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Page]:
    """The certificates in the dataset's order, an image's levels ascending; pending images are left out.

    Args:
        session: a reading one, open until the last page is taken.
        run: a run of certificates.
        alpha: the probability with which each certificate may be wrong; None: as in usual_alpha().
        n: how many of the stored copies estimate; None for all that were asked for.
        level: rows of this level only; an image that failed has no level.
        columns: these only, in this order; all of COLUMNS if None.

    Raises:
        WrongUse: if there is no such level or column, or for an α or n that the record cannot answer.
    """
    wanted = list(COLUMNS) if columns is None else list(columns)
    if unknown := [name for name in wanted if name not in COLUMNS]:
        raise WrongUse(f"there is no column {unknown[0]!r}; there are {', '.join(COLUMNS)}")
    bounds = check_choice(session, run, alpha, n)
    level = None if level is None else level_of(run, level)
    names = class_names(run.recipe)
    size = max(1, PAGE // len(run.recipe.levels))
    for first in range(0, run.expected, size):
        rows = [
            *_certified(session, run, bounds, level, first, first + size - 1),
            *(() if level is not None else _failed(session, run, bounds.n, first, first + size - 1)),
        ]
        for row in rows:
            for label in ("label", "certified_label"):
                row[f"{label}_name"] = None if row[label] is None else names.get(row[label], str(row[label]))
        if rows:
            yield page_of(sorted(rows, key=lambda row: (row["position"], row["level"] or 0)), wanted)


def _certified(
    session: Session, run: RunInfo, bounds: Bounds, level: float | None, first: int, last: int
) -> Iterator[dict[str, Any]]:
    """The certificates of a span of images."""
    found = leaders(run, bounds.n, span=(first, last))
    wanted: Select[Any] = select(Image.position, Image.path, Image.label.label("true"), *found.c).join_from(
        Image, found, found.c.image_id == Image.id
    )
    if level is not None:
        wanted = wanted.where(found.c.level == level)
    for row in session.execute(wanted):
        low = lower_bound(row.hits, row.n, bounds.alpha)
        at = radius(low, row.level)
        abstained = at is None
        yield {
            "position": row.position,
            "path": row.path,
            "level": row.level,
            "sigma": row.level,
            "label": row.true,
            "certified_label": None if abstained else row.label,
            "abstained": abstained,
            "p_lower": low,
            "radius": at,
            "selected": row.selected,
            "hits": row.hits,
            "n": row.n,
            "predict_label": row.first_label if predicts(row.first, row.second, bounds.alpha) else None,
            "outcome": _outcome(None if abstained else row.label, row.true),
            "code": None,
            "message": None,
        }


def _outcome(label: int | None, true: int | None) -> str:
    if label is None:
        return "abstained"
    return "unlabelled" if true is None else "right" if label == true else "wrong"


def _failed(session: Session, run: RunInfo, n: int, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The failures of a span of images: nothing is known but the true class."""
    wanted = (
        select(Image.position, Image.path, Image.label, Failure.code, Failure.message, without_prediction().label("outcome"))
        .join_from(Image, Failure, Failure.image_id == Image.id)
        .where(Failure.run_id == run.id, Image.dataset_id == run.dataset_id, Image.position.between(first, last))
    )  # fmt: skip
    for row in session.execute(wanted):
        yield dict.fromkeys(COLUMNS) | row._asdict() | {"n": n}
