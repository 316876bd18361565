"""What a run found, read from its rows: per noise level, the accuracies, the vote and what it rejected."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select
from sqlalchemy.orm import Session

from db.runs import RunInfo, progress
from db.stats import Rate, rate
from db.tables import Image, Prediction

#: The rates of a level, in the order in which they are shown. Design: acc_maj is over the accepted.
RATES = ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "acc_maj_overall", "reject_rate", "coverage")
COUNTS = ("expected", "predicted", "failed", "skipped", "pending", "labelled")


@dataclass(frozen=True, kw_only=True)
class Level:
    """One noise level. expected = predicted + failed + skipped + pending, always."""

    sigma: float
    expected: int
    predicted: int
    failed: int
    skipped: int
    pending: int
    #: Predicted images whose true class is known: the denominator of the accuracies.
    labelled: int

    #: Share of the labelled whose view is right: no smoothing, single, double.
    acc_ns: Rate | None
    acc_ss: Rate | None
    acc_ds: Rate | None
    #: Right among the labelled that the vote accepted.
    acc_maj: Rate | None
    #: Right among all labelled, a reject counting as wrong.
    acc_maj_overall: Rate | None
    #: Share of the predicted without a majority, and the rest.
    reject_rate: Rate | None
    coverage: Rate | None

    def rate(self, name: str) -> Rate | None:
        """The rate of this name, one of RATES."""
        found: Rate | None = getattr(self, name)
        return found


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run and its levels, ascending."""

    run: RunInfo
    levels: list[Level]

    @property
    def complete(self) -> bool:
        """Whether no image is pending at any level."""
        return not any(level.pending for level in self.levels)


def report(session: Session, run: RunInfo) -> Report:
    """What a run found so far."""
    right = {view: _count(getattr(Prediction, f"label_{view}") == Image.label) for view in ("ns", "ss", "ds", "maj")}
    accepted = Prediction.label_maj.is_not(None)
    rows = session.execute(
        select(
            Prediction.sigma,
            func.count().label("predicted"),
            func.count(Image.label).label("labelled"),
            _count(accepted).label("accepted"),
            _count(and_(accepted, Image.label.is_not(None))).label("accepted_labelled"),
            *(column.label(view) for view, column in right.items()),
        )
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id)
        .group_by(Prediction.sigma)
    )
    by_sigma = {row.sigma: row._asdict() for row in rows}
    # A failed image has no prediction at any level: it is counted once for each.
    so_far = progress(session, run)
    return Report(
        run=run,
        levels=[
            _level(sigma, run.expected, so_far.failed, so_far.skipped, by_sigma.get(sigma, {}))
            for sigma in run.recipe.levels
        ],
    )


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _level(sigma: float, expected: int, failed: int, skipped: int, row: dict[str, Any]) -> Level:
    predicted, labelled, accepted = (row.get(name, 0) for name in ("predicted", "labelled", "accepted"))
    return Level(
        sigma=sigma,
        expected=expected,
        predicted=predicted,
        failed=failed,
        skipped=skipped,
        pending=expected - predicted - failed - skipped,
        labelled=labelled,
        acc_ns=rate(row.get("ns", 0), labelled),
        acc_ss=rate(row.get("ss", 0), labelled),
        acc_ds=rate(row.get("ds", 0), labelled),
        acc_maj=rate(row.get("maj", 0), row.get("accepted_labelled", 0)),
        acc_maj_overall=rate(row.get("maj", 0), labelled),
        reject_rate=rate(predicted - accepted, predicted),
        coverage=rate(accepted, predicted),
    )
