"""A worker: one process that does jobs, from the claim to the commit, and survives what goes wrong in between."""

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
from db.found import Found
from db.outage import outlast, passes, reason
from db.recipe import Preprocessing
from db.session import connect
from db.settings import Settings
from db.store import Claim, Work
from worker.stopwatch import Stopwatch

logger = logging.getLogger("worker")

T = TypeVar("T")

#: Seconds until a job that this worker refused is due again: for another worker, or for this one once it is repaired.
REFUSED_FOR = 60.0
#: Seconds until a job that failed with an unforeseen error is due again.
AGAIN_AFTER = 5.0
#: Loading a model may take this many times SMOOTHVOTE_STALL, because its weights may have to be downloaded.
LOADING = 6
#: Exit code of a process that ends itself because its device is broken.
BROKEN = 70


class BrokenProcess(Exception):
    """This process can compute nothing any more; a new process can."""


class Pinned(NamedTuple):
    """What the first worker of a run loaded. All other workers of the run must load the same."""

    weights_sha256: str
    preprocessing: Preprocessing


class Computes(Protocol):
    """The part of a worker that computes: the model and the images."""

    def pinned(self, work: Work) -> Pinned:
        """Loads a job's model and returns what it loaded. Raises Refusal if it cannot."""

    def found(self, work: Work, watch: Stopwatch) -> Generator[Found]:
        """Computes a job: yields predictions and failures, some images at a time."""


class Worker:
    """Does jobs in this process, with a connection to the database and something that computes."""

    def __init__(self, settings: Settings, compute: Computes) -> None:
        self.settings = settings
        self.compute = compute
        self.engine = connect(settings)
        # The parent finds its children's jobs by these names (worker/request.py).
        self.name = f"{settings.worker_name or socket.gethostname()}:{os.getpid()}"

    def do(self, job_id: int) -> None:
        """Claims a job, computes it and stores the results. A job that is done, taken or cancelled is left alone."""
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
                # A bug, or a machine on which nothing works. The attempt counts; after the last one, the job is split
                # until the image that causes it is alone, and becomes a failure.
                logger.exception("job %d: given up", job_id)
                note = f"unexpected, see the worker's log: {type(error).__name__}: {one_line(error)}"
                self._record(lambda: store.give_up(self.engine, job_id, worker=self.name, note=note, after=AGAIN_AFTER))
                return
            if found is None:
                logger.info("job %d: stopped half way: it was cancelled, or another worker has it", job_id)
                self._record(lambda: store.hand_back(self.engine, worker=self.name))
                return
            with watch.on("commit"):
                stored = self._record(lambda: store.finish(self.engine, claim, *found))
        images = claim.last - claim.first + 1
        result = f"{images} images{_copies(claim)}, {len(found.failed)} without a result"
        said = result if stored else "another worker was first"
        took = time.monotonic() - began
        logger.info("job %d of run %s: %s, %.2f s (%s)", job_id, claim.run_id, said, took, watch)

    def _compute(self, claim: Claim, lost: threading.Event, watch: Stopwatch) -> Found | None:
        work = claim.work()
        all_found = Found([], [], [])
        try:
            alive(LOADING * self.settings.stall)
            with watch.on("load"):
                pinned = self.compute.pinned(work)
            faulthandler.cancel_dump_traceback_later()  # waiting for the database does not count as a stall
            if not claim.began_with(*pinned):
                with watch.on("claim"):
                    self._record(lambda: store.pin_weights(self.engine, claim.run_id, **pinned._asdict()))
            alive(self.settings.stall)
            # Closed here, while the stall is watched: threads that are still at work may hang as well.
            with closing(self.compute.found(work, watch)) as parts:
                for some in parts:
                    if lost.is_set():
                        return None
                    all_found = all_found.plus(some)
                    alive(self.settings.stall)
        finally:
            faulthandler.cancel_dump_traceback_later()
        return all_found

    def _record(self, act: Callable[[], T]) -> T:
        """Runs a transaction, and waits for the database if it is away; results wait in memory meanwhile."""
        return outlast(act, logger.warning)

    def _refuse(self, claim: Claim, note: str) -> None:
        logger.warning("job %d: refused: %s", claim.id, note)
        self._record(lambda: store.refuse(self.engine, claim, worker=self.name, note=note, after=REFUSED_FOR))

    def _end(self, claim: Claim, error: BrokenProcess) -> NoReturn:
        """Gives the job back and ends this process; the parent starts a new one.

        The attempt does not count: a machine whose device stays broken would use up the attempts of every job.
        """
        self._refuse(claim, f"its device failed, and its process with it: {one_line(error)}")
        os._exit(BROKEN)  # not sys.exit: cleaning up a broken CUDA context can hang

    @contextmanager
    def _lease(self, claim: Claim) -> Iterator[threading.Event]:
        """Renews a job's lease while the block runs. Sets the event if the job was cancelled, or went to another."""
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


def _copies(claim: Claim) -> str:
    """Which copies of each image a job of a certificate counts, for the log."""
    first, last = claim.copies
    return f", copies {first} to {last}" if last else ""


def alive(stall: float) -> None:
    """Starts the watch on this process anew: without another call within ``stall`` seconds, it ends as by a crash.

    faulthandler's thread does not need Python's global lock, which a decoder that never returns may hold.
    """
    faulthandler.dump_traceback_later(stall, exit=True, file=sys.__stderr__ or sys.stderr)
