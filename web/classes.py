"""The accuracy of each class at one level, and the classes that the vote confuses."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.outcome import Judged, count_of
from db.runs import RunInfo
from db.tables import Image, Prediction

#: Confusions that are shown, at most.
MOST_FREQUENT = 30


@dataclass(kw_only=True)
class ClassCounts:
    """Counts of the labelled predictions of one true class."""

    label: int
    predicted: int = 0
    right_ns: int = 0
    right_maj: int = 0
    rejected: int = 0

    @property
    def accepted(self) -> int:
        """Images that the vote accepted."""
        return self.predicted - self.rejected

    @property
    def overall(self) -> float:
        """Share of images on which the vote is right; a reject counts as wrong."""
        return self.right_maj / self.predicted


class Confusion(NamedTuple):
    """How many images of class `label` the vote puts into class `voted`."""

    label: int
    voted: int
    images: int


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Every class with a labelled prediction at the level, and the most frequent confusions first."""

    classes: list[ClassCounts] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)


def class_table(session: Session, run: RunInfo, level: float) -> ClassTable:
    """Counts the predictions of one level, in one pass over them."""
    judged = Judged()
    rows = (
        select(
            Image.label,
            Prediction.label_maj.label("voted"),
            func.count().label("images"),
            count_of(judged.ns == judged.label).label("right_ns"),
            count_of(judged.right).label("right"),
            count_of(judged.rejected).label("rejected"),
        )
        .join(Prediction, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id, Prediction.level == level, Image.label.is_not(None))
        .group_by(Image.label, Prediction.label_maj)
    )
    classes: dict[int, ClassCounts] = {}
    confusions = []
    for row in session.execute(rows):
        counts = classes.setdefault(row.label, ClassCounts(label=row.label))
        counts.predicted += row.images
        counts.right_ns += row.right_ns
        counts.right_maj += row.right
        counts.rejected += row.rejected
        if not row.right and not row.rejected:  # all images of a row have the same label and vote
            confusions.append(Confusion(row.label, row.voted, row.images))
    confusions.sort(key=lambda confusion: (-confusion.images, confusion.label, confusion.voted))
    return ClassTable(classes=list(classes.values()), confusions=confusions[:MOST_FREQUENT])


Key = Callable[[ClassCounts], float]

#: What the table can be sorted by. A class with no accepted image sorts as if its selective accuracy were 0.
ORDERS: MappingProxyType[str, Key] = MappingProxyType(
    {
        "acc_maj_overall": lambda counts: counts.overall,
        "acc_maj": lambda counts: counts.right_maj / counts.accepted if counts.accepted else 0.0,
        "acc_ns": lambda counts: counts.right_ns / counts.predicted,
        "reject_rate": lambda counts: counts.rejected / counts.predicted,
        "predicted": lambda counts: counts.predicted,
        "label": lambda counts: counts.label,
    }
)


def in_order(classes: list[ClassCounts], order: str, *, descending: bool) -> list[ClassCounts]:
    """Sorts the classes. Among equal ones the class with more images comes first: its rate is more certain."""
    sign = -1 if descending else 1
    key = ORDERS[order]
    return sorted(classes, key=lambda counts: (sign * key(counts), -counts.predicted, counts.label))
