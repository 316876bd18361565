"""What the views of one image said, as a document: of `classify`, or of a stored run."""

from collections.abc import Iterable
from typing import Any

from db.axis import Axis
from db.found import Predicted
from db.recipe import VIEWS, Recipe
from db.tables import Prediction
from report.document import Cell, Document, Stacked, Table, Written


def document(
    image: str, rows: Iterable[Predicted | Prediction], recipe: Recipe, axis: Axis, names: dict[int, str]
) -> Document:
    """Label and confidence of each view, and the vote, a row a level.

    Args:
        image: its path.
        rows: what was found, a row a level.
        recipe: of the run, or of the walk-through.
        axis: what the levels measure.
        names: what each class is called, by its index.
    """
    found = list(rows)
    return Document(
        headline=[image],
        summary=Table(
            head=[axis.symbol, "no smoothing", "single", "double", "vote"],
            rows=[[Written(axis.number(row.level)), *_views(row, names)] for row in found],
            second="confidence",
        ),
        data=answers_json(image, found, recipe, names),
    )


def _views(row: Predicted | Prediction, names: dict[int, str]) -> list[Cell]:
    views = [
        Stacked(named(getattr(row, f"label_{view}"), names), f"{getattr(row, f'confidence_{view}'):.2f}")
        for view in VIEWS
    ]
    return [*views, "rejected" if row.label_maj is None else named(row.label_maj, names)]


def named(label: int, names: dict[int, str]) -> str:
    """What a class is called; its index where it has no name."""
    return names.get(label, str(label))


def answers_json(
    image: str, rows: Iterable[Predicted | Prediction], recipe: Recipe, names: dict[int, str]
) -> dict[str, Any]:
    """The same as plain data: ``{"image": …, "levels": [{"level": …, "ns": …, "ss": …, "ds": …, "vote": …}]}``."""
    levels: list[dict[str, Any]] = []
    for row in rows:
        level: dict[str, Any] = recipe.level_fields(row.level)
        for view in VIEWS:
            label = getattr(row, f"label_{view}")
            level[view] = {"label": label, "name": names[label], "confidence": getattr(row, f"confidence_{view}")}
        voted = None if row.label_maj is None else {"label": row.label_maj, "name": names[row.label_maj]}
        levels.append(level | {"vote": voted})
    return {"image": image, "levels": levels}
