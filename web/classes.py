"""Class by class at one level: how often the views and the vote are right, and what is taken for what."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from db.runs import RunInfo
from db.tables import Image, Prediction

#: Confusions that are shown, at most.
MOST_FREQUENT = 30


@dataclass(kw_only=True)
class ClassCounts:
    """The labelled predictions of one true class."""

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
        """Share that the vote gets right, a reject counting as wrong."""
        return self.right_maj / self.predicted


class Confusion(NamedTuple):
    """Images of one class that the vote takes for another."""

    label: int
    voted: int
    images: int


@dataclass(frozen=True, kw_only=True)
class ClassTable:
    """Every class that has a labelled prediction at the level, and the most frequent confusions."""

    classes: list[ClassCounts] = field(default_factory=list)
    confusions: list[Confusion] = field(default_factory=list)


def class_table(session: Session, run: RunInfo, level: float) -> ClassTable:
    """Counts of one level, from one walk over its predictions."""
    right_ns = func.sum(case((Prediction.label_ns == Image.label, 1), else_=0))
    rows = (
        select(Image.label, Prediction.label_maj, func.count(), right_ns)
        .join(Prediction, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id, Prediction.level == level, Image.label.is_not(None))
        .group_by(Image.label, Prediction.label_maj)
    )
    classes: dict[int, ClassCounts] = {}
    confusions = []
    for label, voted, images, right in session.execute(rows):
        counts = classes.setdefault(label, ClassCounts(label=label))
        counts.predicted += images
        counts.right_ns += right
        if voted is None:
            counts.rejected += images
        elif voted == label:
            counts.right_maj += images
        else:
            confusions.append(Confusion(label, voted, images))
    confusions.sort(key=lambda confusion: (-confusion.images, confusion.label, confusion.voted))
    return ClassTable(classes=list(classes.values()), confusions=confusions[:MOST_FREQUENT])


Key = Callable[[ClassCounts], float]

#: What the table can be sorted by. A class of which nothing was accepted has no accuracy: it counts as none right.
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
    """Sorted; among equals the larger class first, which says more."""
    sign = -1 if descending else 1
    key = ORDERS[order]
    return sorted(classes, key=lambda counts: (sign * key(counts), -counts.predicted, counts.label))
