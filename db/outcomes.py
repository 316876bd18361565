"""The images behind a rate: what was found for each, at each level, and what the vote made of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import case, select
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.runs import RunInfo
from db.tables import SKIPPED, Failure, Image, Prediction

Outcome = Literal["right", "wrong", "rejected", "unlabelled", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class ImageOutcome:
    """One image at one level: what each view said, what the vote made of it; or why there is nothing."""

    path: str
    sigma: float | None
    outcome: Outcome
    label: int | None
    label_maj: int | None = None
    label_ns: int | None = None
    confidence_ns: float | None = None
    label_ss: int | None = None
    confidence_ss: float | None = None
    label_ds: int | None = None
    confidence_ds: float | None = None
    code: str | None = None
    message: str | None = None


def images(
    session: Session, run: RunInfo, *, sigma: float | None = None, outcome: Outcome | None = None
) -> Iterator[ImageOutcome]:
    """The images behind a rate, in the dataset's order: of one level and outcome, or of all.

    Raises:
        WrongUse: if the run has no such level.
    """
    if sigma is not None and sigma not in run.recipe.levels:
        levels = ", ".join(f"{level:g}" for level in run.recipe.levels)
        raise WrongUse(f"run {run.id} has no level {sigma:g}; it has {levels}")
    if outcome not in ("failed", "skipped"):
        yield from _predicted(session, run, sigma, outcome)
    if outcome in (None, "failed", "skipped"):
        yield from _failed(session, run, outcome)


def _predicted(session: Session, run: RunInfo, sigma: float | None, outcome: Outcome | None) -> Iterator[ImageOutcome]:
    verdict = case(
        (Prediction.label_maj.is_(None), "rejected"),
        (Image.label.is_(None), "unlabelled"),
        (Prediction.label_maj == Image.label, "right"),
        else_="wrong",
    )
    rows = (
        select(Prediction, Image.path, Image.label, verdict.label("verdict"))
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id)
        .order_by(Prediction.sigma, Image.position)
    )
    if sigma is not None:
        rows = rows.where(Prediction.sigma == sigma)
    if outcome is not None:
        rows = rows.where(verdict == outcome)
    for row in session.execute(rows, execution_options={"yield_per": 1000}):
        found = row.Prediction
        yield ImageOutcome(
            path=row.path,
            sigma=found.sigma,
            outcome=row.verdict,
            label=row.label,
            label_maj=found.label_maj,
            label_ns=found.label_ns,
            confidence_ns=found.confidence_ns,
            label_ss=found.label_ss,
            confidence_ss=found.confidence_ss,
            label_ds=found.label_ds,
            confidence_ds=found.confidence_ds,
        )


def _failed(session: Session, run: RunInfo, outcome: Outcome | None) -> Iterator[ImageOutcome]:
    verdict = case((Failure.code.in_(SKIPPED), "skipped"), else_="failed")
    rows = (
        select(Failure.code, Failure.message, Image.path, Image.label, verdict.label("verdict"))
        .join(Image, Image.id == Failure.image_id)
        .where(Failure.run_id == run.id)
        .order_by(Image.position)
    )
    if outcome is not None:
        rows = rows.where(verdict == outcome)
    for row in session.execute(rows):
        yield ImageOutcome(
            path=row.path, sigma=None, outcome=row.verdict, label=row.label, code=row.code, message=row.message
        )
