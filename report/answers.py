"""What the views of one image said, as a table: of a walk-through or of a stored run."""

from collections.abc import Iterable
from typing import Any

from rich.table import Table

from db.errors import plain
from db.recipe import VIEWS, Recipe
from db.store import Predicted
from db.tables import Prediction
from report.text import render


def as_table(image: str, rows: Iterable[Predicted | Prediction], names: dict[int, str]) -> str:
    """Label and confidence of each view, and the vote, a row a level."""
    table = Table("σ", "no smoothing", "single", "double", "vote")
    for row in rows:
        views = (
            f"{named(getattr(row, f'label_{view}'), names)} {getattr(row, f'confidence_{view}'):.2f}" for view in VIEWS
        )
        vote = "rejected" if row.label_maj is None else named(row.label_maj, names)
        table.add_row(f"{row.level:g}", *views, vote)
    return render(table, above=plain(image))


def named(label: int, names: dict[int, str]) -> str:
    """What a class is called."""
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
