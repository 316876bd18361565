"""Counting ahead: the counts of runs are stored before somebody asks for their reports."""

import logging
import time
from contextlib import suppress
from typing import NoReturn

from sqlalchemy import Engine
from sqlalchemy.exc import NoResultFound, SQLAlchemyError

from db.outage import passes, reason
from db.session import reading
from db.summaries import large_and_open, summarise, summarise_so_far, unsummarised

logger = logging.getLogger(__name__)

#: Seconds between two looks for runs to count.
LOOK = 10.0
#: After an incomplete run was counted, it rests for so many times as long: minutes, of ten million predictions.
REST = 20


def summarise_for_ever(engine: Engine) -> NoReturn:
    """Stores the counts of runs, so that no report has to count millions of predictions first."""
    resting: dict[str, float] = {}
    while True:
        try:
            summarise_all(engine)
            summarise_large(engine, resting)
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            logger.warning("%s (counting again in %.0f s)", reason(error), LOOK)
        time.sleep(LOOK)


def summarise_all(engine: Engine) -> None:
    """Stores the counts of each complete run that has none stored yet."""
    with reading(engine) as session:
        runs = unsummarised(session)
    for run in runs:
        with suppress(NoResultFound):  # deleted while the others were counted
            summarise(engine, run)
            logger.info("stored the counts of run %s", run.id)


def summarise_large(engine: Engine, resting: dict[str, float]) -> None:
    """Stores the counts so far of each large run that is worked on, unless it rests.

    Args:
        engine: the database.
        resting: until when each run rests, by ``time.monotonic``; it is brought up to date.
    """
    with reading(engine) as session:
        runs = large_and_open(session)
    for run in runs:
        began = time.monotonic()
        if began >= resting.get(run.id, began):
            with suppress(NoResultFound):
                summarise_so_far(engine, run)
            ended = time.monotonic()
            resting[run.id] = ended + REST * (ended - began)
