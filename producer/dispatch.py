"""Dispatching: what is due goes on the queue. Two dispatchers at once do no harm; a job sent twice is stored once."""

import logging
import time
from typing import NoReturn

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from db.session import first_line, writing
from db.settings import Settings
from db.store import split_spent, take_due, unsend
from producer.broker import Broker, BrokerDown

logger = logging.getLogger(__name__)

#: Seconds between two sweeps.
SWEEP = 2.0
SLOWEST = 30.0


def dispatch(engine: Engine, broker: Broker, settings: Settings, *, run_id: str | None = None) -> int:
    """Sends what is due, of one run or of all, up to the window; returns how many jobs.

    Marked as sent first, sent after: a crash between the two costs a wait of ``lost_after``, never a job, and no
    lock is held while Redis is talked to.

    Raises:
        BrokerDown: if the queue did not take them; they stay due.
    """
    # Only an empty queue can have lost a message: while it is not, the jobs sent long ago are simply in line.
    lost_after = None if broker.queued() else settings.lost_after
    with writing(engine) as session:
        split_spent(session, max_attempts=settings.max_attempts)
        job_ids = take_due(session, run_id=run_id, window=settings.window, lost_after=lost_after)
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
    """The sweeper: dispatches all runs, and outlives whatever it depends on."""
    wait = SWEEP
    while True:
        try:
            sent = dispatch(engine, broker, settings)
            if sent:
                logger.info("sent %d jobs", sent)
            wait = SWEEP
        except (BrokerDown, OperationalError) as error:
            wait = min(wait * 2, SLOWEST)
            why = f"cannot reach the database: {first_line(error)}" if isinstance(error, OperationalError) else error
            logger.warning("%s (trying again in %.0f s)", why, wait)
        time.sleep(wait)
