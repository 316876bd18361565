"""A worker: one process that does jobs, from the claim to the commit, whatever happens in between."""

import faulthandler
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple, NoReturn, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from db import store
from db.errors import WrongUse, one_line
from db.outage import outlast, passes, reason
from db.recipe import Preprocessing
from db.session import connect
from db.settings import Settings
from db.store import Claim, Found, Work
from worker.stopwatch import Stopwatch

logger = logging.getLogger("worker")

T = TypeVar("T")

#: Seconds before a job that this worker cannot do is offered again, to another or to this one, mended.
REFUSED_FOR = 60.0
#: And before one is tried again that failed here for a reason that nobody foresaw.
AGAIN_AFTER = 5.0
#: Loading a model may take so many times as long as an image: its weights may have to be downloaded first.
LOADING = 6
#: Exit code of a process that ends itself because it can do no job any more.
BROKEN = 70


class BrokenProcess(Exception):
    """Nothing can be computed in this process any more. Another, in its place, can."""


class Pinned(NamedTuple):
    """What the first worker of a run loaded, and all others are held to."""

    weights_sha256: str
    preprocessing: Preprocessing


class Computes(Protocol):
    """What a worker computes with."""

    def pinned(self, work: Work) -> Pinned:
        """What it would do the job with. Raises Refusal if it cannot."""

    def found(self, work: Work, watch: Stopwatch) -> Generator[Found]:
        """Predictions and failures of a job's images, some images at a time."""


class Worker:
    """A process that does jobs: a connection to the record, and something to compute with."""

    def __init__(self, settings: Settings, compute: Computes) -> None:
        self.settings = settings
        self.compute = compute
        self.engine = connect(settings)
        # The parent knows its children by these names (worker/request.py).
        self.name = f"{settings.worker_name or socket.gethostname()}:{os.getpid()}"

    def do(self, job_id: int) -> None:
        """Claims a job, computes it, and stores what was found; or leaves it as it is if it is not to be done."""
        watch, began = Stopwatch(), time.monotonic()
        with watch.on("claim"):
            claim = self._record(lambda: store.claim(self.engine, job_id, worker=self.name, lease=self.settings.lease))
        if claim is None:
            logger.info("job %d: done, taken or cancelled already", job_id)
            return
        with self._lease(claim) as lost:
            try:
                found = self._compute(claim, lost, watch)
            except WrongUse as error:
                self._refuse(claim, str(error))
                return
            except BrokenProcess as error:
                self._end(claim, error)
            except Exception as error:
                # A bug, or a machine on which nothing works. It counts: an image alone with it ends as a failure.
                logger.exception("job %d: given up", job_id)
                note = f"unexpected, see the worker's log: {type(error).__name__}: {one_line(error)}"
                self._record(lambda: store.give_up(self.engine, job_id, worker=self.name, note=note, after=AGAIN_AFTER))
                return
            if found is None:
                logger.info("job %d: cancelled, or taken by another, half way", job_id)
                self._record(lambda: store.hand_back(self.engine, worker=self.name))
                return
            with watch.on("commit"):
                stored = self._record(lambda: store.finish(self.engine, claim, *found))
        images = claim.last - claim.first + 1
        said = f"{images} images, {len(found.failed)} of them without prediction" if stored else "another was first"
        took = time.monotonic() - began
        logger.info("job %d of run %s: %s, %.2f s (%s)", job_id, claim.run_id, said, took, watch)

    def _compute(self, claim: Claim, lost: threading.Event, watch: Stopwatch) -> Found | None:
        with watch.on("claim"):
            work = self._record(lambda: store.load_work(self.engine, claim))
        all_found = Found([], [])
        try:
            alive(LOADING * self.settings.stall)
            with watch.on("load"):
                pinned = self.compute.pinned(work)
            faulthandler.cancel_dump_traceback_later()  # the record may be away for as long as it likes
            with watch.on("claim"):
                self._record(lambda: store.pin_weights(self.engine, claim.run_id, **pinned._asdict()))
            alive(self.settings.stall)
            # Closed in here: what is left half way still has to come to an end, or be seen to hang.
            with closing(self.compute.found(work, watch)) as parts:
                for some in parts:
                    if lost.is_set():
                        return None
                    all_found.predicted.extend(some.predicted)
                    all_found.failed.extend(some.failed)
                    alive(self.settings.stall)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return all_found

    def _record(self, act: Callable[[], T]) -> T:
        """One transaction with the record, however long it is away: what was computed waits in memory."""
        return outlast(act, logger.warning)

    def _refuse(self, claim: Claim, note: str) -> None:
        logger.warning("job %d: refused: %s", claim.id, note)
        self._record(lambda: store.refuse(self.engine, claim, worker=self.name, note=note, after=REFUSED_FOR))

    def _end(self, claim: Claim, error: BrokenProcess) -> NoReturn:
        """Ends this process; the parent starts another in its place.

        The attempt does not count: a machine whose device is broken for good would spend those of every job there is.
        """
        self._refuse(claim, f"its device failed, and its process with it: {one_line(error)}")
        os._exit(BROKEN)  # and not sys.exit: a broken CUDA context can hang in its own cleaning up

    @contextmanager
    def _lease(self, claim: Claim) -> Iterator[threading.Event]:
        """Holds a claim while it is worked on; sets the event if it is lost, or no longer wanted."""
        lost, over = threading.Event(), threading.Event()

        def hold() -> None:
            while not over.wait(self.settings.lease / 3):
                try:
                    held = store.renew(self.engine, claim, worker=self.name, lease=self.settings.lease)
                    if not held and not over.is_set():
                        lost.set()
                except SQLAlchemyError as error:
                    logger.warning("job %d: cannot renew its lease: %s", claim.id, reason(error))
                    if not passes(error):
                        raise

        holder = threading.Thread(target=hold, name=f"lease-{claim.id}", daemon=True)
        holder.start()
        try:
            yield lost
        finally:
            over.set()
            holder.join()


def alive(stall: float) -> None:
    """Says that this process gets on; unless it says so again within so many seconds, it is ended, as by a crash.

    By a thread that needs no lock of Python's: a decoder that never returns may hold them all.
    """
    faulthandler.dump_traceback_later(stall, exit=True, file=sys.__stderr__ or sys.stderr)
