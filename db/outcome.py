"""The outcome of an image at a level, in SQL: right, wrong, rejected; and what the vote saved or lost.

This is the one place that says what they mean. The SQL views, the rows of an export, the lists of images and the pages
are made of these expressions. A rejected vote is NULL, and NULL is equal to nothing: each case is spelt out.
"""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, func, null, or_

from db.tables import SKIPPED, Failure, Image, Prediction

#: What may become of an image at a level; the last two are of images that have no prediction.
OUTCOMES = ("right", "wrong", "rejected", "unlabelled", "failed", "skipped")
#: Of an image that has none.
WITHOUT_PREDICTION = ("failed", "skipped")
#: Of the vote against the unsmoothed view. Saved: ns is wrong, the vote right; lost: ns is right, the vote is not.
CHANGES = ("saved", "lost")


class Judged:
    """The outcome of predictions, as conditions on their columns and their image's true label.

    Args:
        prediction: Prediction, an alias of it, or a query with its columns.
        label: the true class, NULL where it is not known.
    """

    def __init__(self, prediction: Any = Prediction, label: ColumnElement[Any] | None = None) -> None:
        columns = prediction.c if isinstance(prediction, FromClause) else prediction
        self.ns, self.ss, self.ds, self.maj = (
            columns.label_ns, columns.label_ss, columns.label_ds, columns.label_maj
        )  # fmt: skip
        self.label = Image.label.expression if label is None else label
        self.rejected = self.maj.is_(None)
        self.accepted = self.maj.is_not(None)
        #: Exactly one of right, wrong, rejected and unlabelled holds for a prediction.
        self.right = and_(self.accepted, self.maj == self.label)
        self.wrong = and_(self.accepted, self.maj != self.label)
        self.unlabelled = and_(self.accepted, self.label.is_(None))
        self.saved = and_(self.ns != self.label, self.right)
        self.lost = and_(self.ns == self.label, or_(self.rejected, self.maj != self.label))
        self.unanimous = and_(self.ns == self.ss, self.ns == self.ds)

    @property
    def outcome(self) -> ColumnElement[str]:
        """right, wrong, rejected or unlabelled; of an image without prediction, failed or skipped."""
        return case(
            (self.rejected, "rejected"), (self.label.is_(None), "unlabelled"), (self.right, "right"), else_="wrong"
        )

    def change(self, name: str) -> ColumnElement[int | None]:
        """Whether the vote saved, or lost, the image: 1 or 0; NULL where its label is not known."""
        condition = self.saved if name == "saved" else self.lost
        return case((and_(self.label.is_not(None), self.ns.is_not(None)), one(condition)), else_=null())


def without_prediction(code: ColumnElement[Any] | Any = Failure.code) -> ColumnElement[str]:
    """failed or skipped, of a failure's code."""
    return case((code.in_(SKIPPED), "skipped"), else_="failed")


def one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """1 where it holds, else 0: what can be summed on both databases."""
    return case((condition, 1), else_=0)


def count_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """How many rows it holds for."""
    return func.coalesce(func.sum(one(condition)), 0)
