"""Summaries: the stored tallies of complete runs, so that a report over ten million predictions reads a few rows.

The predictions of a complete run never change, so its tallies are counted once and stored. An incomplete run is
counted each time. Summaries are a cache: they can be deleted, and the next report counts again.

    predictions --(db/tally.py counts)--> tallies --(complete run: stored)--> summaries --> report
"""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.runs import RunInfo, find_run, progress
from db.session import insert, reading, writing
from db.tables import Job, Prediction, Run, Summary
from db.tally import Tally, Thresholding, count

#: Raised whenever the counting or the fields of a Tally change. Summaries of another version are not read: the next
#: report counts the run again and replaces them.
VERSION = 2


def tallies(session: Session, run: RunInfo, *, stored: bool = True) -> dict[float, Tally]:
    """The tally of each level that has predictions: from the summaries if there are any, else counted now.

    Args:
        session: a reading one.
        run: the run.
        stored: False to count even if there are summaries.
    """
    if stored:
        rows = select(Summary.level, Summary.tally).where(Summary.run_id == run.id, Summary.version == VERSION)
        if found := {row.level: _from_json(row.tally) for row in session.execute(rows)}:
            return found
    return count(session, run)


def summarise(engine: Engine, run: RunInfo) -> None:
    """Stores the tallies of a complete run, unless they are stored already. An incomplete run is left alone.

    A database that refuses the write is no error: a user who may only read can still report.
    """
    with reading(engine) as session:
        kept = select(func.count()).where(Summary.run_id == run.id, Summary.version == VERSION)
        if session.scalars(kept).one() or not progress(session, run).complete:
            return
        counted = count(session, run)
    rows = [
        {"run_id": run.id, "level": level, "version": VERSION, "tally": asdict(tally)}
        for level, tally in counted.items()
    ]
    with suppress(DBAPIError), writing(engine) as session:
        add = insert(session, Summary)
        newer = {"version": add.excluded.version, "tally": add.excluded.tally}
        if rows:
            session.execute(add.on_conflict_do_update(index_elements=["run_id", "level"], set_=newer), rows)


def unsummarised(session: Session) -> list[RunInfo]:
    """The complete runs whose tallies are not stored yet."""
    open_runs = select(Job.run_id).where(Job.done_at.is_(None))
    kept = select(Summary.run_id).where(Summary.version == VERSION)
    predicted = select(Prediction.run_id).where(Prediction.run_id == Run.id).exists()
    wanted = select(Run.id).where(Run.id.not_in(open_runs), Run.id.not_in(kept), predicted)
    return [find_run(session, run_id) for run_id in session.scalars(wanted)]


def _from_json(stored: dict[str, Any]) -> Tally:
    """A Tally from a summary's JSON, which has lists where a Tally has tuples."""
    pairs = {name: Thresholding(*stored[name]) for name in ("thresholding_majority", "thresholding_unanimous")}
    curves = {name: [(n, right) for n, right in stored[name]] for name in ("curve_confidence", "curve_vote")}
    return Tally(**stored | pairs | curves)
