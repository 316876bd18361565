"""Deleting a run, in many small transactions: ten million rows in one would hold the disk and, on SQLite, all workers.

A deletion that is interrupted leaves a cancelled run of which no job is done and some predictions are gone. It can be
submitted again, which computes what is missing, or deleted again, which goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlalchemy.orm import Session

from db.control import cancel
from db.errors import WrongUse
from db.session import insert, writing
from db.tables import Count, Dataset, Failure, Image, Job, Prediction, Run, Summary

#: Rows that one transaction deletes, about.
AT_ONCE = 10_000
#: Begins the fingerprint of a dataset that is being deleted: no submission finds it any more.
REMOVED = "removed:"


def remove(engine: Engine, run_id: str) -> None:
    """Deletes a run and what was found for it, and its dataset if no other run is over it.

    Raises:
        WrongUse: if somebody submitted the run again meanwhile, or deleted it.
    """
    with writing(engine) as session:
        cancel(session, run_id)
        session.execute(delete(Summary).where(Summary.run_id == run_id))
        _replace_jobs(session, run_id)
    for table in (Prediction, Count, Failure):
        _remove_found(engine, table, run_id)
    with writing(engine) as session:
        # With the row of the dataset locked, no submission can add a run over it meanwhile. It comes before the run, as
        # in a submission: the two would wait for each other otherwise.
        of_run = select(Run.dataset_id).where(Run.id == run_id).scalar_subquery()
        dataset_id = session.scalar(select(Dataset.id).where(Dataset.id == of_run).with_for_update())
        _hold(session, run_id)
        session.execute(delete(Run).where(Run.id == run_id))
        others = select(Run.id).where(Run.dataset_id == Dataset.id).exists()
        unused = update(Dataset).where(Dataset.id == dataset_id, ~others, ~Dataset.fingerprint.startswith(REMOVED))
        session.execute(unused.values(fingerprint=REMOVED + Dataset.fingerprint))
    remove_datasets(engine)


def _replace_jobs(session: Session, run_id: str) -> None:
    """Puts a new job that is not done in the place of each job of a run.

    A worker may have an old one in hand. What it stores later is refused, because that job is gone: otherwise the job
    would be done, and what was found for it deleted.
    """
    span = (Job.run_id, -1 - Job.first, Job.last, Job.copies_first, Job.copies_last)
    old = (Job.run_id == run_id, Job.first < 0)
    # Out of the way of the new ones, and deleted only after them, so that no new job gets the id of an old one.
    session.execute(update(Job).where(Job.run_id == run_id).values(first=-1 - Job.first))
    columns = ["run_id", "first", "last", "copies_first", "copies_last"]
    session.execute(insert(session, Job).from_select(columns, select(*span).where(*old).order_by(Job.id)))
    session.execute(delete(Job).where(*old))


def _hold(session: Session, run_id: str) -> None:
    """Locks a run that is being deleted, so that nobody submits it during this transaction.

    Raises:
        WrongUse: if somebody submitted it before, or deleted it.
    """
    wanted = select(Run.id).where(Run.id == run_id, Run.cancelled_at.is_not(None)).with_for_update(key_share=True)
    if session.scalar(wanted) is None:
        raise WrongUse(
            f"run {run_id} was submitted again, or deleted by another command, while this one deleted it:"
            " `smoothvote runs` shows which; if it is there, `smoothvote watch` computes what is gone"
        )


def _remove_found(engine: Engine, table: type[Prediction | Count | Failure], run_id: str) -> None:
    """Deletes the rows of a run from one table, image after image."""
    after: int | None = 0
    while after is not None:
        mine = (table.run_id == run_id, table.image_id >= after)
        with writing(engine) as session:
            _hold(session, run_id)
            nth = select(table.image_id).where(*mine).order_by(table.image_id).offset(AT_ONCE).limit(1)
            after = session.scalar(nth)
            session.execute(delete(table).where(*mine, *([] if after is None else [table.image_id <= after])))


def remove_datasets(engine: Engine) -> None:
    """Deletes the datasets that are marked as removed, also those that an earlier, interrupted call left."""
    with _unchecked(engine) as connection:
        marked = select(Dataset.id).where(Dataset.fingerprint.startswith(REMOVED))
        with connection.begin():
            dataset_ids = connection.scalars(marked).all()
        for dataset_id in dataset_ids:
            with connection.begin():
                size = connection.scalar(select(func.count()).where(Image.dataset_id == dataset_id)) or 0
            for first in range(0, size, AT_ONCE):
                span = Image.position.between(first, first + AT_ONCE - 1)
                with connection.begin():
                    connection.execute(delete(Image).where(Image.dataset_id == dataset_id, span))
            with connection.begin():
                connection.execute(delete(Image).where(Image.dataset_id == dataset_id))
                connection.execute(delete(Dataset).where(Dataset.id == dataset_id))


@contextmanager
def _unchecked(engine: Engine) -> Iterator[Connection]:
    """A connection on which SQLite does not look for predictions of each deleted image, by reading all of them."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            yield connection
            return
        # On the driver's own connection: SQLAlchemy would begin a transaction, in which SQLite does not change this.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            yield connection
        finally:
            driver.execute("PRAGMA foreign_keys=ON")
