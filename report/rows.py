"""The rows of a run, for exports, DataFrames and lists: one per image and level, one per image without a prediction.

They are read in pages along the dataset, so ten million rows take no more memory than ten thousand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Select, and_, case, func, null, or_, select
from sqlalchemy.orm import Session

from db.classes import class_names
from db.errors import WrongUse
from db.found import CHANGES, OUTCOMES, WITHOUT_PREDICTION
from db.outcome import Judged, without_prediction
from db.recipe import Recipe
from db.runs import RunInfo
from db.tables import Failure, Image, Prediction
from report.exports import Page
from report.kind import require_votes

#: The type of each column; any but path and outcome may be null. docs/reference/python.md says what they mean.
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

T = TypeVar("T")

#: Rows that are read at once, about.
PAGE = 10_000


def pages(
    session: Session,
    run: RunInfo,
    *,
    level: float | None = None,
    outcome: str | None = None,
    label: int | None = None,
    predicted: bool | None = None,
    columns: Sequence[str] | None = None,
) -> Iterator[Page]:
    """The rows of a run, in the dataset's order, an image's levels ascending.

    Args:
        session: a reading one: all rows are of one moment.
        run: the run.
        level: rows of this level only; an image without prediction has no level.
        outcome: rows of this outcome only, one of OUTCOMES, or saved or lost.
        label: rows of this true class only, by its index.
        predicted: only rows of images with predictions, or only of those without.
        columns: these only; all of COLUMNS if None.

    Raises:
        WrongUse: if the run has certificates, or there is no such level, outcome or column.
    """
    require_votes(run, f"`smoothvote export {run.id}` and smoothvote.certificates() give a row for each image")
    wanted = list(columns) if columns is not None else list(COLUMNS)
    _check(level, outcome, wanted)
    level = None if level is None else level_of(run, level)
    if outcome in WITHOUT_PREDICTION:
        predicted = False
    elif level is not None or outcome is not None:
        predicted = True
    found = _expressions(predicted)
    chosen = []
    if level is not None:
        chosen.append(Prediction.level == level)
    if label is not None:
        chosen.append(Image.label == label)
    if outcome is not None:
        chosen.append(found[outcome] == 1 if outcome in CHANGES else found["outcome"] == outcome)
    names = class_names(run.recipe) if any(name.endswith("_name") for name in wanted) else {}
    for span in _spans(session, run):
        page = _page(session, run, span, predicted).add_columns(*(found[name].label(name) for name in wanted))
        # Plain rows: those of the session take half as long again.
        rows = session.connection().execute(page.where(*chosen)).all()
        if rows:
            values = zip(*rows, strict=True)
            yield {name: _shown(name, column, names) for name, column in zip(wanted, values, strict=True)}


def as_written(found: Iterable[Page], recipe: Recipe) -> Iterator[Page]:
    """Pages as files have them: levels of Gaussian noise stand also under their former name, sigma."""
    for page in found:
        yield _with_sigma(page, recipe)


def written_types(recipe: Recipe, columns: Iterable[str] = tuple(COLUMNS)) -> dict[str, type]:
    """The type of each column of as_written, of pages with these columns."""
    return _with_sigma({name: COLUMNS[name] for name in columns}, recipe)


def _with_sigma(columns: Mapping[str, T], recipe: Recipe) -> dict[str, T]:
    return {
        name: value
        for column, value in columns.items()
        for name in (recipe.level_fields(None) if column == "level" else (column,))
    }


def level_of(run: RunInfo, level: float) -> float:
    """The level of a run that a person means: this one, or the one that is printed as this one is.

    Raises:
        WrongUse: if there is none, or several are printed so; the message names those that the run has.
    """
    levels, number = run.recipe.levels, run.axis.number
    if level in levels:
        return level
    alike = [one for one in levels if number(one) == number(level)]
    if len(alike) != 1:
        raise WrongUse(f"run {run.id} has no level {number(level)}; it has {', '.join(map(number, levels))}")
    return alike[0]


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


def _page(session: Session, run: RunInfo, span: Span, predicted: bool | None) -> Select[Any]:
    """Images of a span with what was found for them, in order; pending images are left out."""
    prediction = [Prediction.run_id == run.id, Prediction.image_id == Image.id]
    failure = [Failure.run_id == run.id, Failure.image_id == Image.id]
    if session.get_bind().dialect.name == "postgresql":
        # It follows from the join, but PostgreSQL has to be told: until it has gathered statistics of new rows, it goes
        # through all predictions of the run for every page. SQLite must not be told: for every image it would go
        # through those of the page.
        prediction.append(Prediction.image_id.between(span.least, span.greatest))
    page = select().where(Image.dataset_id == run.dataset_id, Image.position.between(span.first, span.last))
    if predicted:
        return page.join_from(Image, Prediction, and_(*prediction)).order_by(Image.position, Prediction.level)
    if predicted is False:
        return page.join_from(Image, Failure, and_(*failure)).order_by(Image.position)
    return (
        page.select_from(Image)
        .outerjoin(Prediction, and_(*prediction))
        .outerjoin(Failure, and_(*failure))
        .where(or_(Prediction.run_id == run.id, Failure.run_id == run.id))
        .order_by(Image.position, Prediction.level)
    )


def _expressions(predicted: bool | None) -> dict[str, ColumnElement[Any]]:
    """What each column is in SQL. A name is first the index of its class: _shown says what that is called."""
    judged = Judged()
    views = ("label_ns", "confidence_ns", "label_ss", "confidence_ss", "label_ds", "confidence_ds")
    image: dict[str, ColumnElement[Any]] = {
        "path": Image.path.expression,
        "label": Image.label.expression,
        "label_name": Image.label.expression,
    }
    prediction: dict[str, ColumnElement[Any]] = {
        "level": Prediction.level.expression,
        **{name: getattr(Prediction, name).expression for name in (*views, "label_maj")},
        "label_maj_name": Prediction.label_maj.expression,
        **{name: judged.change(name) for name in CHANGES},
    }
    failure: dict[str, ColumnElement[Any]] = {"code": Failure.code.expression, "message": Failure.message.expression}
    if predicted:
        return image | prediction | dict.fromkeys(failure, null()) | {"outcome": judged.outcome}
    if predicted is False:
        return image | dict.fromkeys(prediction, null()) | failure | {"outcome": without_prediction()}
    outcome = case((Failure.code.is_not(None), without_prediction()), else_=judged.outcome)
    return image | prediction | failure | {"outcome": outcome}


def _check(level: float | None, outcome: str | None, columns: Sequence[str]) -> None:
    if outcome is not None and outcome not in (*OUTCOMES, *CHANGES):
        raise WrongUse(f"there is no outcome {outcome!r}; there are {', '.join((*OUTCOMES, *CHANGES))}")
    if level is not None and outcome in WITHOUT_PREDICTION:
        raise WrongUse(f"an image that {outcome} has no prediction at any level: ask for the outcome without a level")
    for name in columns:
        if name not in COLUMNS:
            raise WrongUse(f"there is no column {name!r}; there are {', '.join(COLUMNS)}")
    if len(set(columns)) < len(columns):
        raise WrongUse(f"name each column once: {', '.join(columns)}")
    if not columns:
        raise WrongUse(f"name at least one column of {', '.join(COLUMNS)}")


def _shown(name: str, column: Sequence[Any], names: dict[int, str]) -> Sequence[Any]:
    if name.endswith("_name"):
        return [None if label is None else names.get(label, str(label)) for label in column]
    if COLUMNS[name] is bool:
        return [None if flag is None else bool(flag) for flag in column]
    return column
