"""What the views of one image said, as a table: of a walk-through or of a stored run."""

from collections.abc import Iterable

from rich.table import Table

from db.store import Predicted
from db.tables import Prediction
from db.text import plain, render
from worker.smoothing import VIEWS


def as_table(image: str, rows: Iterable[Predicted | Prediction], names: dict[int, str]) -> str:
    """Label and confidence of each view, and the vote, a row a level."""
    table = Table("σ", "no smoothing", "single", "double", "vote")
    for row in rows:
        views = (
            f"{named(getattr(row, f'label_{view}'), names)} {getattr(row, f'confidence_{view}'):.2f}" for view in VIEWS
        )
        vote = "rejected" if row.label_maj is None else named(row.label_maj, names)
        table.add_row(f"{row.sigma:g}", *views, vote)
    return render(table, above=plain(image))


def named(label: int, names: dict[int, str]) -> str:
    """What a class is called."""
    return names.get(label, str(label))
