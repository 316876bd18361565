"""Summaries: stored tallies of runs, so that a report over ten million predictions reads a few rows.

The predictions of a complete run never change, so its tallies are counted once and stored. An incomplete run is
counted each time; but of one that is large, the dispatcher stores the tallies of what is done so far, again and again,
and a report is of that moment: what is predicted since then is still pending in it. Summaries are a cache: they can be
deleted, and the next report counts again.

    predictions --(db/tally.py counts)--> tallies --(complete, or large: stored)--> summaries --> report
"""

from contextlib import suppress
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.runs import RunInfo, find_run, progress
from db.session import insert, reading, writing
from db.tables import Dataset, Job, Prediction, Run, Summary
from db.tally import Tally, Thresholding, count

#: Raised whenever the counting or the fields of a Tally change. Summaries of another version are not read: the next
#: report counts the run again and replaces them.
VERSION = 2
#: The version of tallies of an incomplete run. Code that knows nothing of these does not read them.
SO_FAR = -VERSION
#: Images of a run that is large: with four levels, a million predictions are counted in two seconds or so.
LARGE = 250_000


def tallies(session: Session, run: RunInfo, *, stored: bool = True) -> dict[float, Tally]:
    """The tally of each level that has predictions: from the summaries if there are any, else counted now.

    Args:
        session: a reading one.
        run: the run.
        stored: False to count even if there are summaries.
    """
    found = _stored(session, run) if stored else {}
    if found.get(SO_FAR) and not found.get(VERSION):
        state = progress(session, run)
        if not state.complete and not state.cancelled:
            return found[SO_FAR]
    return found.get(VERSION) or count(session, run)


def summarise(engine: Engine, run: RunInfo) -> None:
    """Stores the tallies of a complete run, unless they are stored already. An incomplete run is left alone.

    A database that refuses the write is no error: a user who may only read can still report.
    """
    with reading(engine) as session:
        kept = select(func.count()).where(Summary.run_id == run.id, Summary.version == VERSION)
        if session.scalars(kept).one() or not progress(session, run).complete:
            return
        counted = count(session, run)
    with suppress(DBAPIError):
        _store(engine, run, VERSION, counted)


def summarise_so_far(engine: Engine, run: RunInfo) -> None:
    """Stores the tallies of what is done of an incomplete run, unless these are stored already."""
    with reading(engine) as session:
        state = progress(session, run)
        stored = max((tally.predicted for tally in _stored(session, run).get(SO_FAR, {}).values()), default=0)
        if state.complete or state.done - state.failed - state.skipped <= stored:
            return
        counted = count(session, run)
    _store(engine, run, SO_FAR, counted)


def _stored(session: Session, run: RunInfo) -> dict[int, dict[float, Tally]]:
    """The stored tallies of this version, complete and so far, by level."""
    rows = select(Summary).where(Summary.run_id == run.id, Summary.version.in_((VERSION, SO_FAR)))
    found: dict[int, dict[float, Tally]] = {}
    for row in session.scalars(rows):
        found.setdefault(row.version, {})[row.level] = _from_json(row.tally)
    return found


def _store(engine: Engine, run: RunInfo, version: int, counted: dict[float, Tally]) -> None:
    rows = [
        {"run_id": run.id, "level": level, "version": version, "tally": asdict(tally)}
        for level, tally in counted.items()
    ]
    if not rows:
        return
    with writing(engine) as session:
        # The run may be gone since it was counted, or a retry may have made images pending: both lock it.
        there = session.scalar(select(Run.id).where(Run.id == run.id).with_for_update(key_share=True))
        if there is None or (version == VERSION and not progress(session, run).complete):
            return
        add = insert(session, Summary)
        newer = {"version": add.excluded.version, "tally": add.excluded.tally}
        # What another process counted of the complete run meanwhile stays.
        older = Summary.version != VERSION
        session.execute(
            add.on_conflict_do_update(index_elements=["run_id", "level"], set_=newer, where=older), rows
        )  # fmt: skip


def large_and_open(session: Session) -> list[RunInfo]:
    """The runs of votes over so many images that counting takes seconds, of which some jobs are still to be done."""
    to_do = select(Job.run_id).where(Job.run_id == Run.id, Job.done_at.is_(None)).exists()
    wanted = select(Run.id).join(Dataset).where(Dataset.size >= LARGE, Run.cancelled_at.is_(None), to_do)
    found = [find_run(session, run_id) for run_id in session.scalars(wanted)]
    return [run for run in found if not run.recipe.certifies]


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
