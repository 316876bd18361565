"""Dispatching sends the jobs that are due to the queue. Two dispatchers at once do no harm."""

import logging
import time
from collections.abc import Collection
from threading import Event, Thread
from typing import NoReturn

import click
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.due import MOST_AT_ONCE, reclaim, split_spent, take_due, unsend
from db.outage import passes, reason
from db.session import check_generation, writing
from db.settings import Settings
from producer.broker import Broker, BrokerDown
from producer.depth import FEW, Depth
from producer.summarise import summarise_for_ever

logger = logging.getLogger(__name__)

#: Seconds between two searches for lost jobs and new runs; after an error the pause doubles up to SLOWEST.
PAUSE = 2.0
SLOWEST = 10.0


def dispatch(engine: Engine, broker: Broker, settings: Settings, *, run_ids: Collection[str] | None = None) -> int:
    """Sends some jobs that are due, so that work begins, and returns how many it sent. A Filler sends the others.

    Args:
        engine: the database.
        broker: the queue.
        settings: the window, and when a job counts as lost.
        run_ids: only jobs of these runs; None for all runs.

    Raises:
        BrokerDown: if the queue did not take the jobs; they stay due.
        Away: if the database was upgraded to another generation while this process ran, whose jobs go to another queue.
    """
    room = min(FEW, settings.window) - broker.queued()
    return _send(engine, broker, settings, run_ids, room=room, search=True)


def _send(
    engine: Engine, broker: Broker, settings: Settings, run_ids: Collection[str] | None, *, room: int, search: bool
) -> int:
    """Sends due jobs, at most ``room``. With ``search``, jobs that were lost or that end their workers are found first.

    Jobs are marked as sent before they are sent. A crash between the two delays a job by ``lost_after`` seconds but
    never loses it, and no database lock is held while Redis is called.
    """
    oldest = broker.oldest() if search else None
    with writing(engine) as session:
        check_generation(session)
        if search:
            split_spent(session, max_attempts=settings.max_attempts)
            reclaim(session, run_ids=run_ids, lost_after=settings.lost_after, oldest=oldest)
        job_ids = take_due(session, run_ids=run_ids, room=room)
    try:
        broker.send(job_ids)
    except BrokerDown:
        with writing(engine) as session:
            unsend(session, job_ids)
        raise
    return len(job_ids)


class Filler:
    """Keeps the queue filled, from one look to the next: what workers take makes room at once."""

    def __init__(self, engine: Engine, broker: Broker, settings: Settings) -> None:
        self._engine, self._broker, self._settings = engine, broker, settings
        self._depth = Depth(settings.window)
        self._last: Collection[str] | None = None
        self._next_search = 0.0
        #: Whether no job was left to send at the last filling. Then only a search can find some.
        self._all_sent = False
        #: Seconds until the next look should be.
        self.pause = 0.0

    def look(self, run_ids: Collection[str] | None = None) -> int:
        """Fills the queue if it is low, and searches for lost jobs if it is time to; returns how many jobs it sent.

        Args:
            run_ids: only jobs of these runs; None for all runs.

        Raises:
            BrokerDown, Away: as ``dispatch``.
        """
        began, queued, sent = time.monotonic(), self._broker.queued(), 0
        search, low = began >= self._next_search or run_ids != self._last, self._depth.is_low(queued)
        if search or (low and not self._all_sent):
            if low:
                self._depth.adapt(queued, began)
            room = self._depth.full - queued if low else 0
            sent = _send(self._engine, self._broker, self._settings, run_ids, room=room, search=search)
            if low:
                self._all_sent = sent < min(room, MOST_AT_ONCE)
                self._depth.filled(queued + sent, time.monotonic())
        if search:
            self._next_search, self._last = began + PAUSE, run_ids
        rest = max(0.0, self._next_search - time.monotonic())
        self.pause = rest if self._all_sent else min(self._depth.pause(queued + sent), rest)
        return sent


class Dispatcher:
    """Keeps the queue filled, in a thread, while a command watches its runs.

    Once it has reached the queue, it waits out an outage.
    """

    def __init__(self, engine: Engine, broker: Broker, settings: Settings) -> None:
        self._filler = Filler(engine, broker, settings)
        self._run_ids: Collection[str] | None = None
        self._thread: Thread | None = None
        self._waiting = self._over = False
        self._woken = Event()
        self._pause = 0.0
        self._error: Exception | None = None

    def send(self, run_ids: Collection[str] | None = None) -> None:
        """Sends jobs of these runs from now on; None for all runs. The first call sends some before it returns.

        Raises:
            BrokerDown: if it never reached the queue, so that its URL may be wrong.
            Exception: what ended the thread.
        """
        if self._error:
            raise self._error
        changed, self._run_ids = run_ids != self._run_ids, run_ids
        if self._thread is None:
            self._pause = self._look()
            self._thread = Thread(target=self._keep_filled, name="dispatcher", daemon=True)
            self._thread.start()
        elif changed:
            self._woken.set()

    def close(self) -> None:
        """Sends no more jobs."""
        self._over = True
        self._woken.set()
        if self._thread:
            self._thread.join()

    def _look(self) -> float:
        self._filler.look(self._run_ids)
        return self._filler.pause

    def _keep_filled(self) -> None:
        while True:
            self._woken.wait(self._pause)
            self._woken.clear()
            if self._over:
                return
            try:
                self._pause = self._look()
            except BrokerDown as error:
                if not self._waiting:
                    click.echo(f"smoothvote: {error}; waiting for it", err=True)
                self._waiting, self._pause = True, PAUSE
                continue
            except Exception as error:
                # Of the database's outages, the command that watches tells: it reads the progress.
                if not (isinstance(error, SQLAlchemyError) and passes(error)):
                    self._error = error
                    return
                self._pause = PAUSE
                continue
            if self._waiting:
                click.echo("smoothvote: the queue is back", err=True)
            self._waiting = False


def dispatch_for_ever(engine: Engine, broker: Broker, settings: Settings) -> NoReturn:
    """The dispatcher of all runs: keeps the queue filled, stores the counts of complete runs, and waits out outages."""
    # In a thread: counting millions of rows takes a minute, and the queue must not run dry meanwhile.
    Thread(target=summarise_for_ever, args=(engine,), daemon=True).start()
    filler, wait = Filler(engine, broker, settings), PAUSE
    sent, said = 0, time.monotonic()
    while True:
        try:
            sent += filler.look()
            pause, wait = filler.pause, PAUSE
        except (BrokerDown, SQLAlchemyError) as error:
            if not passes(error):
                raise
            pause = wait = min(wait * 2, SLOWEST)
            logger.warning("%s (trying again in %.0f s)", reason(error), wait)
        if sent and time.monotonic() - said >= PAUSE:
            logger.info("sent %d jobs", sent)
            sent, said = 0, time.monotonic()
        time.sleep(pause)
