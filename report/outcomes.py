"""The images behind a rate: what was found for each, at each level, and what the vote made of it."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from sqlalchemy import Row, select
from sqlalchemy.orm import Session

from db.classes import class_names
from db.errors import WrongUse, plain
from db.recipe import Recipe
from db.runs import RunInfo
from db.tables import SKIPPED, Failure, Image, Prediction

Outcome = Literal["right", "wrong", "rejected", "unlabelled", "failed", "skipped"]
#: What may be asked for. Saved: ns is wrong, and the vote right; lost: ns is right, and the vote wrong or a reject.
Wanted = Outcome | Literal["saved", "lost"]

#: Images that are read at once.
SPAN = 10_000


@dataclass(frozen=True, kw_only=True)
class ImageOutcome:
    """One image at one level: what each view said, what the vote made of it; or why there is nothing."""

    path: str
    level: float | None
    outcome: Outcome
    label: int | None
    label_maj: int | None = None
    label_ns: int | None = None
    confidence_ns: float | None = None
    label_ss: int | None = None
    confidence_ss: float | None = None
    label_ds: int | None = None
    confidence_ds: float | None = None
    code: str | None = None
    message: str | None = None


def images(
    session: Session,
    run: RunInfo,
    *,
    level: float | None = None,
    outcome: Wanted | None = None,
    label: int | None = None,
    limit: int | None = None,
) -> Iterator[ImageOutcome]:
    """The images behind a rate: level by level, in the dataset's order; those without prediction come last, once.

    Args:
        session: a reading one, open until the last image is taken.
        run: the run.
        level: predictions of this level only.
        outcome: images of this outcome only.
        label: images of this true class only, by its index.
        limit: so many at most.

    Raises:
        WrongUse: if the run has no such level.
    """
    if level is not None and level not in run.recipe.levels:
        there = ", ".join(f"{level:g}" for level in run.recipe.levels)
        raise WrongUse(f"run {run.id} has no level {level:g}; it has {there}")
    parts: list[Iterator[ImageOutcome]] = []
    if outcome not in ("failed", "skipped"):
        levels = run.recipe.levels if level is None else (level,)
        parts += [_predicted(session, run, level, outcome, label) for level in levels]
    if outcome in (None, "failed", "skipped"):
        parts.append(_failed(session, run, outcome, label))
    yield from islice(chain.from_iterable(parts), limit)


def class_index(recipe: Recipe, name: str) -> int:
    """The class that a person means, by its name, in any case, or its index.

    Raises:
        WrongUse: if there is none, or several are called so.
    """
    names = class_names(recipe)
    called = [index for index, one in names.items() if one.casefold() == name.strip().casefold()]
    if len(called) > 1:
        raise WrongUse(
            f"--class {name}: {len(called)} classes are called so; give an index: {', '.join(map(str, called))}"
        )
    if called:
        return called[0]
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) in names:
        return int(name)
    within = [one for one in names.values() if name.strip() and name.strip().casefold() in one.casefold()]
    near = within[:3] or difflib.get_close_matches(name, names.values(), n=3)
    hint = f"near it: {plain(', '.join(near))}" if near else f"give a name, or an index from 0 to {len(names) - 1}"
    raise WrongUse(f"--class {name}: no class of the model; {hint}")


def _predicted(
    session: Session, run: RunInfo, level: float, wanted: Wanted | None, label: int | None
) -> Iterator[ImageOutcome]:
    rows = select(Prediction.__table__).where(Prediction.run_id == run.id, Prediction.level == level)
    for span in _spans(session, run, label):
        asked = rows.where(Prediction.image_id.between(min(span), max(span)))
        found = {row.image_id: row for row in session.execute(asked)}
        for image_id, image in span.items():
            row = found.get(image_id)
            if row is None:
                continue
            outcome = _judged(image.label, row.label_maj)
            if _is_wanted(wanted, outcome, image.label, row.label_ns):
                yield ImageOutcome(
                    path=image.path,
                    level=level,
                    outcome=outcome,
                    label=image.label,
                    label_maj=row.label_maj,
                    label_ns=row.label_ns,
                    confidence_ns=row.confidence_ns,
                    label_ss=row.label_ss,
                    confidence_ss=row.confidence_ss,
                    label_ds=row.label_ds,
                    confidence_ds=row.confidence_ds,
                )


def _judged(label: int | None, voted: int | None) -> Outcome:
    if voted is None:
        return "rejected"
    if label is None:
        return "unlabelled"
    return "right" if voted == label else "wrong"


def _is_wanted(wanted: Wanted | None, outcome: Outcome, label: int | None, ns: int) -> bool:
    if wanted == "saved":
        return outcome == "right" and ns != label
    if wanted == "lost":
        return outcome in ("wrong", "rejected") and ns == label
    return wanted in (None, outcome)


def _failed(session: Session, run: RunInfo, wanted: Wanted | None, label: int | None) -> Iterator[ImageOutcome]:
    rows = select(Failure.__table__).where(Failure.run_id == run.id)
    for span in _spans(session, run, label):
        asked = rows.where(Failure.image_id.between(min(span), max(span)))
        found = {row.image_id: row for row in session.execute(asked)}
        for image_id, image in span.items():
            row = found.get(image_id)
            if row is None:
                continue
            outcome: Outcome = "skipped" if row.code in SKIPPED else "failed"
            if wanted in (None, outcome):
                yield ImageOutcome(
                    path=image.path, level=None, outcome=outcome, label=image.label, code=row.code, message=row.message
                )


def _spans(session: Session, run: RunInfo, label: int | None) -> Iterator[dict[int, Row[int, str, int | None]]]:
    """The dataset's images by id, in their order, some at a time.

    What was found is asked for on its own, and matched here. Of a join PostgreSQL reads the whole run for each image,
    as long as its statistics do not know of the run: 30 s for a page.
    """
    mine = select(Image.id, Image.path, Image.label).where(Image.dataset_id == run.dataset_id)
    if label is not None:
        mine = mine.where(Image.label == label)
    for first in range(0, run.expected, SPAN):
        rows = mine.where(Image.position.between(first, first + SPAN - 1)).order_by(Image.position)
        if span := {row.id: row for row in session.execute(rows)}:
            yield span
