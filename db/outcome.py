"""The outcome of an image at a level, and whether the vote saved or lost it, as SQL expressions.

This module is the one definition of these words, which db/found.py lists: the counts, the SQL views, the exports, the
image lists and the pages use its expressions. A rejected vote is NULL, and a comparison with NULL is neither true nor
false, so each condition names the NULL case itself.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, func, or_

from db.tables import SKIPPED, Failure, Image, Prediction


class Judged:
    """Conditions on a prediction and the true label of its image.

    Exactly one of ``right``, ``wrong``, ``rejected`` and ``unlabelled`` holds for each prediction.

    Args:
        prediction: ``Prediction``, an alias of it, or a query with its columns.
        label: the column of the true class, NULL where it is unknown; ``Image.label`` by default.
    """

    def __init__(self, prediction: Any = Prediction, label: ColumnElement[Any] | None = None) -> None:
        columns = prediction.c if isinstance(prediction, FromClause) else prediction
        self.ns, self.ss, self.ds = columns.label_ns, columns.label_ss, columns.label_ds
        self.maj = columns.label_maj
        self.label = Image.label.expression if label is None else label
        self.labelled = self.label.is_not(None)
        self.accepted = self.maj.is_not(None)
        self.rejected = self.maj.is_(None)
        self.right = and_(self.accepted, self.maj == self.label)
        self.wrong = and_(self.accepted, self.maj != self.label)
        self.unlabelled = and_(self.accepted, self.label.is_(None))
        self.saved = and_(self.ns != self.label, self.right)
        self.lost = and_(self.ns == self.label, or_(self.rejected, self.maj != self.label))
        #: All three views say the same.
        self.unanimous = and_(self.ns == self.ss, self.ns == self.ds)

    @property
    def outcome(self) -> ColumnElement[str]:
        """right, wrong, rejected or unlabelled. A rejected image is rejected whether it has a label or not."""
        return case(
            (self.rejected, "rejected"), (self.label.is_(None), "unlabelled"), (self.right, "right"), else_="wrong"
        )

    @property
    def votes(self) -> ColumnElement[int]:
        """How many views say the same label: 3, 2, or 1 where no two agree."""
        return case((self.unanimous, 3), (self.accepted, 2), else_=1)

    def change(self, name: str) -> ColumnElement[int | None]:
        """1 where the vote saved, or lost, the image, else 0; NULL without a label or a prediction.

        Args:
            name: one of CHANGES.
        """
        changed = {"saved": self.saved, "lost": self.lost}[name]
        return case((changed, 1), (and_(self.labelled, self.ns.is_not(None)), 0))


def without_prediction(code: ColumnElement[Any] | Any = Failure.code) -> ColumnElement[str]:
    """failed or skipped, by the code of an image's failure."""
    return case((code.in_(SKIPPED), "skipped"), else_="failed")


def one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """1 where a condition holds, else 0, also where it is NULL. Unlike a boolean, both databases can sum it."""
    return case((condition, 1), else_=0)


def count_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """The number of rows for which a condition holds; 0 if there are no rows."""
    return func.coalesce(func.sum(one(condition)), 0)
