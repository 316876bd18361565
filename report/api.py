"""The record in a notebook: `smoothvote.runs()`, `smoothvote.report()` and `smoothvote.rows()` are pandas DataFrames.

Nothing heavy is imported until one of them is called, so that the command line starts fast.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from sqlalchemy import Engine

    from report.stats import Interval


RUNS: dict[str, type] = {
    "id": str,
    "name": str,
    "model": str,
    "dataset": str,
    "perturbation": str,
    "smoother": str,
    "kernel_size": int,
    "kernel_sigma": float,
    "seed": int,
    "expected": int,
    "done": int,
    "failed": int,
    "skipped": int,
    "complete": bool,
    "cancelled": bool,
    "paused": bool,
    "priority": int,
    "created_at": datetime,
    "submitted_at": datetime,
}
CERTIFIED_CURVES: dict[str, type] = {"level": float, "radius": float, "certified_accuracy": float}
CURVES: dict[str, type] = {"level": float, "by": str, "coverage": float, "risk": float}


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run found. It prints as `smoothvote report` does."""

    #: Everything, as in `smoothvote report --format json`.
    data: dict[str, Any]
    #: A row a level, with the level as index: every count, rate, interval and test.
    levels: "DataFrame"
    #: Columns level, by (vote or confidence), coverage, and risk: the share of the accepted that is wrong.
    risk_coverage: "DataFrame"
    #: Whether no image is pending.
    complete: bool
    #: Whether the vote beats confidence thresholding, in words.
    verdict: str
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True, kw_only=True)
class CertifiedReport:
    """The certificates of a run. It prints as `smoothvote report` does."""

    #: Everything, as in `smoothvote report --format json`.
    data: dict[str, Any]
    #: A row a level, with the level as index: every count, rate and interval.
    levels: "DataFrame"
    #: Columns level, radius, and certified_accuracy: the share of the labelled images that are certified there. A row
    #: for each radius where the share falls.
    curve: "DataFrame"
    #: Whether no image is pending.
    complete: bool
    #: What is guaranteed on how many images, and with what probability, in words.
    verdict: str
    text: str

    def __repr__(self) -> str:
        return self.text


def runs(*, database_url: str | None = None) -> "DataFrame":
    """All runs, the newest first: what each measures, and how far it has come.

    Args:
        database_url: postgresql://… or sqlite:///FILE; if None, SMOOTHVOTE_DATABASE_URL, else `.smoothvote` in this
            folder.
    """
    from db.runs import list_runs, progress
    from db.session import reading
    from report import frames

    with _record(database_url) as engine, reading(engine) as session:
        found = [(run, progress(session, run)) for run in list_runs(session)]
    rows = [
        {
            "id": run.id,
            "name": run.name,
            "model": run.recipe.model,
            "dataset": run.dataset,
            "perturbation": run.recipe.perturbation,
            "smoother": run.recipe.smoother,
            "kernel_size": run.recipe.kernel_size,
            "kernel_sigma": run.recipe.kernel_sigma,
            "seed": run.recipe.seed,
            "expected": so_far.expected,
            "done": so_far.done,
            "failed": so_far.failed,
            "skipped": so_far.skipped,
            "complete": so_far.complete,
            "cancelled": so_far.cancelled,
            "paused": so_far.paused,
            "priority": run.priority,
            "created_at": run.created_at,
            "submitted_at": run.submitted_at,
        }
        for run, so_far in found
    ]
    return frames.frame_of(rows, RUNS)


def report(run: str = "latest", *, interval: "Interval" = "wilson", database_url: str | None = None) -> RunReport:
    """What a run found, level by level.

    Args:
        run: an id, the beginning of one, a name, or latest.
        interval: the method for the intervals of rates: wilson or clopper-pearson.
        database_url: as for runs().

    Raises:
        WrongUse: if there is no such run, or it has certificates: see certified().
    """
    from report import frames
    from report.documents.report import document
    from report.flat import level_rows, level_types
    from report.formats import as_text
    from report.report import read_report

    with _record(database_url) as engine:
        found = read_report(engine, run, interval=interval)
    levels = level_rows(found)
    curves = [
        {"level": level.value, "by": by, "coverage": coverage, "risk": risk}
        for level in found.levels
        for by, curve in (("vote", level.curve_vote), ("confidence", level.curve_confidence))
        for coverage, risk in curve
    ]
    shown = document(found)
    return RunReport(
        data=shown.data,
        levels=frames.frame_of(levels, level_types(levels)).set_index("level"),
        risk_coverage=frames.frame_of(curves, CURVES),
        complete=found.complete,
        verdict=shown.verdict,
        text=as_text(shown),
    )


def rows(
    run: str = "latest",
    *,
    level: float | None = None,
    outcome: str | None = None,
    columns: Sequence[str] | None = None,
    database_url: str | None = None,
) -> "DataFrame":
    """A row for each image and level, in the dataset's order. An image without prediction has one row, without level.

    Args:
        run: an id, the beginning of one, a name, or latest.
        level: only rows of this level.
        outcome: only rows of this outcome: right, wrong, rejected, unlabelled, failed or skipped; or saved or lost.
        columns: only these, in this order. A few columns are read much faster than all.
        database_url: as for runs().

    Raises:
        WrongUse: if there is no such run, level, outcome or column, or the run has certificates: see certificates().
    """
    from db.runs import find_run
    from db.session import reading
    from report import frames
    from report.rows import COLUMNS, pages

    wanted = list(columns) if columns is not None else list(COLUMNS)
    with _record(database_url) as engine, reading(engine) as session:
        found = pages(session, find_run(session, run), level=level, outcome=outcome, columns=wanted)
        return frames.to_frame(found, {name: COLUMNS[name] for name in wanted if name in COLUMNS})


def certified(
    run: str = "latest",
    *,
    alpha: float | None = None,
    n: int | None = None,
    interval: "Interval" = "wilson",
    database_url: str | None = None,
) -> CertifiedReport:
    """The certificates of a run, level by level, for any α and n: they follow from the stored counts.

    Args:
        run: an id, the beginning of one, a name, or latest.
        alpha: the probability with which each certificate may be wrong; None: the run's own if its images stop early,
            else 0.001.
        n: how many of the stored copies estimate; None for all that were asked for.
        interval: the method for the intervals of rates: wilson or clopper-pearson.
        database_url: as for runs().

    Raises:
        WrongUse: if there is no such run, it has votes, or the record cannot answer this α and n.
    """
    from report import frames
    from report.certified import read_certified
    from report.certified_flat import level_types
    from report.documents.certified import document
    from report.formats import as_text

    with _record(database_url) as engine:
        found = read_certified(engine, run, alpha=alpha, n=n, interval=interval)
    shown = document(found)
    curves = [
        {"level": level.sigma, "radius": radius, "certified_accuracy": share}
        for level in found.levels
        for radius, share in level.curve
    ]
    return CertifiedReport(
        data=shown.data,
        levels=frames.frame_of(shown.records, level_types(shown.records[0])).set_index("level"),
        curve=frames.frame_of(curves, CERTIFIED_CURVES),
        complete=found.complete,
        verdict=shown.verdict,
        text=as_text(shown),
    )


def certificates(
    run: str = "latest",
    *,
    alpha: float | None = None,
    n: int | None = None,
    level: float | None = None,
    columns: Sequence[str] | None = None,
    database_url: str | None = None,
) -> "DataFrame":
    """A row for each image and level of a certified run, in the dataset's order; a failed image has one, without level.

    Args:
        run: an id, the beginning of one, a name, or latest.
        alpha: the probability with which each certificate may be wrong; None: the run's own if its images stop early,
            else 0.001.
        n: how many of the stored copies estimate; None for all that were asked for.
        level: only rows of this level.
        columns: only these, in this order.
        database_url: as for runs().

    Raises:
        WrongUse: if there is no such run, level or column, it has votes, or the record cannot answer this α and n.
    """
    from db.runs import find_run
    from db.session import reading
    from report import frames
    from report.certified_rows import COLUMNS, OUTCOMES, certificate_pages

    wanted = list(columns) if columns is not None else list(COLUMNS)
    with _record(database_url) as engine, reading(engine) as session:
        found = certificate_pages(session, find_run(session, run), alpha=alpha, n=n, level=level, columns=wanted)
        return frames.to_frame(found, {name: COLUMNS[name] for name in wanted if name in COLUMNS}, OUTCOMES)


@contextmanager
def _record(database_url: str | None) -> Iterator["Engine"]:
    from db.session import connect
    from db.settings import load_settings

    engine = connect(load_settings(**({"database_url": database_url} if database_url else {})))
    try:
        yield engine
    finally:
        engine.dispose()
