"""The record in a notebook: `smoothvote.runs()`, `smoothvote.report()` and `smoothvote.rows()` are pandas DataFrames.

Nothing heavy is imported before one of them is called: whoever opens the front door pays for no notebook.
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
    "kernel_size": int,
    "kernel_sigma": float,
    "seed": int,
    "expected": int,
    "done": int,
    "failed": int,
    "skipped": int,
    "complete": bool,
    "cancelled": bool,
    "created_at": datetime,
}
CURVES: dict[str, type] = {"level": float, "by": str, "coverage": float, "risk": float}


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run found. Printed, it is the table that `smoothvote report` shows."""

    #: Everything, as `smoothvote report --format json` has it.
    data: dict[str, Any]
    #: A row a level, its level the index: every count, rate, interval and test.
    levels: "DataFrame"
    #: level, by (vote or confidence), coverage, risk: share of the accepted that is wrong as the threshold falls.
    risk_coverage: "DataFrame"
    #: Whether no image is pending.
    complete: bool
    #: Whether the vote is worth it, in words.
    verdict: str
    text: str

    def __repr__(self) -> str:
        return self.text


def runs(*, database_url: str | None = None) -> "DataFrame":
    """All runs, the newest first: what was measured, and how far each has come.

    Args:
        database_url: postgresql://… or sqlite:///FILE; if None, as the environment says, else `.smoothvote` here.
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
            "kernel_size": run.recipe.kernel_size,
            "kernel_sigma": run.recipe.kernel_sigma,
            "seed": run.recipe.seed,
            "expected": so_far.expected,
            "done": so_far.done,
            "failed": so_far.failed,
            "skipped": so_far.skipped,
            "complete": so_far.complete,
            "cancelled": so_far.cancelled,
            "created_at": run.created_at,
        }
        for run, so_far in found
    ]
    return frames.frame_of(rows, RUNS)


def report(run: str = "latest", *, interval: "Interval" = "wilson", database_url: str | None = None) -> RunReport:
    """What a run found, level by level.

    Args:
        run: an id, the beginning of one, a name, or latest.
        interval: of the rates: wilson or clopper-pearson.
        database_url: as of runs().

    Raises:
        WrongUse: if there is no such run.
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
    """A row an image and level, in the dataset's order; a row an image that has no prediction, without a level.

    Args:
        run: an id, the beginning of one, a name, or latest.
        level: of this level only.
        outcome: right, wrong, rejected, unlabelled, failed or skipped; or saved or lost. Only these.
        columns: only these, in this order: a million rows of a few columns are read in a fraction of the time.
        database_url: as of runs().

    Raises:
        WrongUse: if there is no such run, level, outcome or column.
    """
    from db.runs import find_run
    from db.session import reading
    from report import frames
    from report.rows import COLUMNS, pages

    wanted = list(columns) if columns is not None else list(COLUMNS)
    with _record(database_url) as engine, reading(engine) as session:
        found = pages(session, find_run(session, run), level=level, outcome=outcome, columns=wanted)
        return frames.to_frame(found, {name: COLUMNS[name] for name in wanted if name in COLUMNS})


@contextmanager
def _record(database_url: str | None) -> Iterator["Engine"]:
    from db.session import connect
    from db.settings import load_settings

    engine = connect(load_settings(**({"database_url": database_url} if database_url else {})))
    try:
        yield engine
    finally:
        engine.dispose()
