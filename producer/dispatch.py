"""Dispatching: what is due goes on the queue. Two dispatchers at once do no harm; a job sent twice is stored once."""

import logging
import time
from threading import Thread
from typing import NoReturn

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.due import split_spent, take_due, unsend
from db.outage import passes, reason
from db.session import reading, writing
from db.settings import Settings
from db.tally import summarise, unsummarised
from producer.broker import Broker, BrokerDown

logger = logging.getLogger(__name__)

#: Seconds between two sweeps.
SWEEP = 2.0
SLOWEST = 10.0


def dispatch(engine: Engine, broker: Broker, settings: Settings, *, run_id: str | None = None) -> int:
    """Sends what is due, of one run or of all, up to the window; returns how many jobs.

    Marked as sent first, sent after: a crash between the two costs a wait of ``lost_after``, never a job, and no
    lock is held while Redis is talked to.

    Raises:
        BrokerDown: if the queue did not take them; they stay due.
    """
    oldest = broker.oldest()
    with writing(engine) as session:
        split_spent(session, max_attempts=settings.max_attempts)
        job_ids = take_due(
            session, run_id=run_id, window=settings.window, lost_after=settings.lost_after, oldest=oldest
        )
    if not job_ids:
        return 0
    try:
        broker.send(job_ids)
    except BrokerDown:
        with writing(engine) as session:
            unsend(session, job_ids)
        raise
    return len(job_ids)


def dispatch_for_ever(engine: Engine, broker: Broker, settings: Settings) -> NoReturn:
    """The sweeper: dispatches all runs, sums up those that are complete, and outlives whatever it depends on."""
    # Beside the dispatching: counting millions of rows takes a minute, in which no queue is to run dry.
    Thread(target=summarise_for_ever, args=(engine,), daemon=True).start()
    wait = SWEEP
    while True:
        try:
            sent = dispatch(engine, broker, settings)
            if sent:
                logger.info("sent %d jobs", sent)
            wait = SWEEP
        except (BrokerDown, SQLAlchemyError) as error:
            if not passes(error):
                raise
            wait = min(wait * 2, SLOWEST)
            logger.warning("%s (trying again in %.0f s)", reason(error), wait)
        time.sleep(wait)


def summarise_for_ever(engine: Engine) -> NoReturn:
    """Stores what each complete run's predictions add up to, so that its first report need not count them."""
    while True:
        try:
            summarise_all(engine)
        except SQLAlchemyError as error:
            if not passes(error):
                raise
            logger.warning("%s (summing up again in %.0f s)", reason(error), SLOWEST)
        time.sleep(SLOWEST)


def summarise_all(engine: Engine) -> None:
    """Stores the counts of each run that is complete, and of which they are not stored yet."""
    with reading(engine) as session:
        runs = unsummarised(session)
    for run in runs:
        summarise(engine, run)
        logger.info("summed up run %s", run.id)
