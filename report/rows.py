"""A run's rows, of which exports and DataFrames are made: one an image and level; one an image without prediction.

They are read in pages along the dataset, so ten million take no more memory than ten thousand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, null, or_, select
from sqlalchemy.orm import Session

from db.classes import class_names
from db.errors import WrongUse
from db.runs import RunInfo
from db.tables import SKIPPED, Failure, Image, Prediction

#: What each column holds; any but path and outcome may be null. docs/reference/python.md says what they mean.
COLUMNS: dict[str, type] = {
    "path": str,
    "level": float,
    "label": int,
    "label_name": str,
    "label_ns": int,
    "confidence_ns": float,
    "label_ss": int,
    "confidence_ss": float,
    "label_ds": int,
    "confidence_ds": float,
    "label_maj": int,
    "label_maj_name": str,
    "outcome": str,
    "saved": bool,
    "lost": bool,
    "code": str,
    "message": str,
}

#: What may have become of an image at a level; the last two are of images that have none.
OUTCOMES = ("right", "wrong", "rejected", "unlabelled", "failed", "skipped")

#: Of an outcome and ns together: ns wrong and the vote right; ns right and the vote wrong, or a reject.
FLAGS = ("saved", "lost")

#: Rows that are read at once, about.
PAGE = 10_000

#: Some rows as columns, in the order that was asked for.
Page = Mapping[str, Sequence[Any]]


def pages(
    session: Session,
    run: RunInfo,
    *,
    level: float | None = None,
    outcome: str | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Page]:
    """The rows of a run, in the dataset's order, an image's levels ascending.

    Args:
        session: a reading one: all is of one moment.
        run: the run.
        level: rows of this level only; those of images without prediction have none.
        outcome: rows of this outcome only, one of OUTCOMES, or saved or lost.
        columns: these only; all of COLUMNS if None.

    Raises:
        WrongUse: if there is no such level, outcome or column.
    """
    wanted = list(columns) if columns is not None else list(COLUMNS)
    _check(run, level, outcome, wanted)
    expressions = _expressions()
    chosen = []
    if level is not None:
        chosen.append(Prediction.level == level)
    if outcome is not None:
        chosen.append(expressions[outcome] == 1 if outcome in FLAGS else expressions["outcome"] == outcome)
    names = class_names(run.recipe) if any(name.endswith("_name") for name in wanted) else {}
    for span in _spans(session, run):
        page = _page(session, run, span).add_columns(*(expressions[name].label(name) for name in wanted))
        # Plain rows: the session's own take half as long again.
        rows = session.connection().execute(page.where(*chosen)).all()
        if rows:
            values = zip(*rows, strict=True)
            yield {name: _shown(name, column, names) for name, column in zip(wanted, values, strict=True)}


def page_of(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Page:
    """Rows that are at hand as one page."""
    return {name: [row[name] for row in rows] for name in names}


class Span(NamedTuple):
    """Images that are read at once: their positions in the dataset, and the least and greatest of their ids."""

    first: int
    last: int
    least: int
    greatest: int


def _spans(session: Session, run: RunInfo) -> Iterator[Span]:
    size = max(1, PAGE // len(run.recipe.levels))
    for first in range(0, run.expected, size):
        last = first + size - 1
        ids = select(func.min(Image.id), func.max(Image.id)).where(
            Image.dataset_id == run.dataset_id, Image.position.between(first, last)
        )
        yield Span(first, last, *session.execute(ids).one())


def _page(session: Session, run: RunInfo, span: Span) -> Select[Any]:
    """Images of a span with what there is of them, in order; those of which there is nothing are left out."""
    predicted, without = Prediction.run_id == run.id, Failure.run_id == run.id
    joined = [predicted, Prediction.image_id == Image.id]
    if session.get_bind().dialect.name == "postgresql":
        # It follows from the join, but PostgreSQL has to be told: until it has gathered statistics of new rows, it goes
        # through all predictions of the run for every page. SQLite must not be: for every image it would go through
        # those of the page.
        joined.append(Prediction.image_id.between(span.least, span.greatest))
    return (
        select()
        .select_from(Image)
        .outerjoin(Prediction, and_(*joined))
        .outerjoin(Failure, and_(without, Failure.image_id == Image.id))
        .where(Image.dataset_id == run.dataset_id, Image.position.between(span.first, span.last))
        .where(or_(predicted, without))
        .order_by(Image.position, Prediction.level)
    )


def _check(run: RunInfo, level: float | None, outcome: str | None, columns: Sequence[str]) -> None:
    if level is not None and level not in run.recipe.levels:
        levels = ", ".join(f"{level:g}" for level in run.recipe.levels)
        raise WrongUse(f"run {run.id} has no level {level:g}; it has {levels}")
    if outcome is not None and outcome not in (*OUTCOMES, *FLAGS):
        raise WrongUse(f"there is no outcome {outcome!r}; there are {', '.join((*OUTCOMES, *FLAGS))}")
    if level is not None and outcome in ("failed", "skipped"):
        raise WrongUse(f"an image that {outcome} has no prediction at any level: ask for the outcome without a level")
    for name in columns:
        if name not in COLUMNS:
            raise WrongUse(f"there is no column {name!r}; there are {', '.join(COLUMNS)}")
    if len(set(columns)) < len(columns):
        raise WrongUse(f"name each column once: {', '.join(columns)}")
    if not columns:
        raise WrongUse(f"name at least one column of {', '.join(COLUMNS)}")


def _expressions() -> dict[str, ColumnElement[Any]]:
    """What each column is in SQL. A name is first the number of its class: _shown says what that is called."""
    ns, maj, label = Prediction.label_ns, Prediction.label_maj, Image.label
    labelled = and_(label.is_not(None), ns.is_not(None))
    outcome = case(
        (Failure.code.in_(SKIPPED), "skipped"),
        (Failure.code.is_not(None), "failed"),
        (maj.is_(None), "rejected"),
        (label.is_(None), "unlabelled"),
        (maj == label, "right"),
        else_="wrong",
    )
    views = ("label_ns", "confidence_ns", "label_ss", "confidence_ss", "label_ds", "confidence_ds")
    return {
        "path": Image.path.expression,
        "level": Prediction.level.expression,
        "label": label.expression,
        "label_name": label.expression,
        **{name: getattr(Prediction, name) for name in views},
        "label_maj": maj.expression,
        "label_maj_name": maj.expression,
        "outcome": outcome,
        # A reject is not right, and NULL is not equal to anything.
        "saved": case((labelled, case((and_(ns != label, maj == label), 1), else_=0)), else_=null()),
        "lost": case((labelled, case((and_(ns == label, or_(maj.is_(None), maj != label)), 1), else_=0)), else_=null()),
        "code": Failure.code.expression,
        "message": Failure.message.expression,
    }


def _shown(name: str, column: Sequence[Any], names: dict[int, str]) -> Sequence[Any]:
    if name.endswith("_name"):
        return [None if label is None else names.get(label, str(label)) for label in column]
    if COLUMNS[name] is bool:
        return [None if flag is None else bool(flag) for flag in column]
    return column
