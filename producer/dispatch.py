"""Dispatching sends the jobs that are due to the queue. Two dispatchers at once do no harm."""

import logging
import time
from collections.abc import Collection
from threading import Thread
from typing import NoReturn

import click
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.due import split_spent, take_due, unsend
from db.outage import passes, reason
from db.session import check_generation, writing
from db.settings import Settings
from producer.broker import Broker, BrokerDown
from producer.summarise import summarise_for_ever

logger = logging.getLogger(__name__)

#: Seconds between two rounds of dispatching; after an error the pause doubles up to SLOWEST.
PAUSE = 2.0
SLOWEST = 10.0


def dispatch(engine: Engine, broker: Broker, settings: Settings, *, run_ids: Collection[str] | None = None) -> int:
    """Sends the jobs that are due, up to the window, and returns how many it sent.

    Jobs are marked as sent before they are sent. A crash between the two delays a job by ``lost_after`` seconds but
    never loses it, and no database lock is held while Redis is called.

    Args:
        engine: the database.
        broker: the queue.
        settings: the window, and when a job counts as lost.
        run_ids: only jobs of these runs; None for all runs.

    Raises:
        BrokerDown: if the queue did not take the jobs; they stay due.
        Away: if the database was upgraded to another generation while this process ran, whose jobs go to another queue.
    """
    oldest = broker.oldest()
    with writing(engine) as session:
        check_generation(session)
        split_spent(session, max_attempts=settings.max_attempts)
        job_ids = take_due(
            session, run_ids=run_ids, window=settings.window, lost_after=settings.lost_after, oldest=oldest
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


class Dispatcher:
    """Dispatches while a command watches its runs. Once it has reached the queue, it waits out an outage."""

    def __init__(self, engine: Engine, broker: Broker, settings: Settings) -> None:
        self._engine, self._broker, self._settings = engine, broker, settings
        self._reached = self._waiting = False
        self._next = 0.0
        self._last: Collection[str] = ()

    def send(self, run_ids: Collection[str]) -> None:
        """Sends the jobs of these runs that are due. Does nothing if it did so less than PAUSE seconds ago.

        Raises:
            BrokerDown: if it never reached the queue, so that its URL may be wrong.
        """
        if time.monotonic() < self._next and run_ids == self._last:
            return
        self._next, self._last = time.monotonic() + PAUSE, run_ids
        try:
            dispatch(self._engine, self._broker, self._settings, run_ids=run_ids)
        except BrokerDown as error:
            if not self._reached:
                raise
            if not self._waiting:
                click.echo(f"smoothvote: {error}; waiting for it", err=True)
            self._waiting = True
            return
        if self._waiting:
            click.echo("smoothvote: the queue is back", err=True)
        self._reached, self._waiting = True, False


def dispatch_for_ever(engine: Engine, broker: Broker, settings: Settings) -> NoReturn:
    """The sweeper: dispatches all runs, stores the counts of complete ones, and waits out outages."""
    # In a thread: counting millions of rows takes a minute, and the queue must not run dry meanwhile.
    Thread(target=summarise_for_ever, args=(engine,), daemon=True).start()
    wait = PAUSE
    while True:
        try:
            sent = dispatch(engine, broker, settings)
            if sent:
                logger.info("sent %d jobs", sent)
            wait = PAUSE
        except (BrokerDown, SQLAlchemyError) as error:
            if not passes(error):
                raise
            wait = min(wait * 2, SLOWEST)
            logger.warning("%s (trying again in %.0f s)", reason(error), wait)
        time.sleep(wait)
