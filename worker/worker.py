"""A worker: one process that does jobs, from the claim to the commit, and survives what goes wrong in between.

It has several in hand: while one is computed, the next is claimed, read and drawn, and the last one is committed.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from itertools import count
from typing import NamedTuple, NoReturn, Protocol, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from db import store
from db.due import unsend
from db.errors import WrongUse, one_line
from db.found import Found
from db.logs import about
from db.outage import outlast, passes, reason
from db.recipe import Preprocessing
from db.session import connect, writing
from db.settings import Settings
from db.store import Claim, Work
from worker.activity import OWN
from worker.stall import watched
from worker.stopwatch import Stopwatch
from worker.turns import Company, Stopped, stopping

logger = logging.getLogger("worker")

T = TypeVar("T")

#: Seconds until a job that this worker refused is due again: for another worker, or for this one once it is repaired.
REFUSED_FOR = 60.0
#: Seconds before a worker that refused a job takes another; they double with each job that it refuses in a row. Without
#: a pause, one worker without weights would take all jobs, refuse them, and leave none to those that can do them.
SHORTEST, LONGEST = 0.1, 30.0
#: Seconds until a job that failed with an unforeseen error is due again.
AGAIN_AFTER = 5.0
#: Exit code of a process that ends itself because its device is broken.
BROKEN = 70
#: Loading a model may take this many times SMOOTHVOTE_STALL, because its weights may have to be downloaded.
LOADING = 6


class BrokenProcess(Exception):
    """This process can compute nothing any more; a new process can."""


class Pinned(NamedTuple):
    """What the first worker of a run loaded. All other workers of the run must load the same."""

    weights_sha256: str
    preprocessing: Preprocessing


class Loaded(Protocol):
    """A job whose model is loaded."""

    @property
    def pinned(self) -> Pinned:
        """What was loaded."""

    def found(self, watch: Stopwatch) -> Generator[Found]:
        """Computes the job: yields predictions and failures, some images at a time."""


class Computes(Protocol):
    """The part of a worker that computes: the model and the images."""

    def loaded(self, work: Work) -> AbstractContextManager[Loaded]:
        """Loads a job's model, and keeps it until the block ends. Raises Refusal if it cannot."""


class Worker:
    """Does jobs in this process, with a connection to the database and something that computes. Threads share it."""

    def __init__(self, settings: Settings, compute: Computes) -> None:
        self.settings = settings
        self.compute = compute
        self.engine = connect(settings)
        self.name = name_of_process(settings)
        self._company = Company()
        #: Jobs that were refused since the last one was done.
        self._refusals = 0
        #: When the last job was computed.
        self._computed_at, self._computing = time.monotonic(), threading.Lock()

    def do(self, job_id: int) -> None:
        """Claims a job, computes it and stores the results. A job that is done, taken or cancelled is left alone.

        A job that was tried before may be one that ends its process, so it is done alone: if others were in hand, they
        would lose an attempt each time, and be blamed with it.
        """
        with about(job=job_id):
            try:
                if not self._do_beside_others(job_id):
                    with self._company.alone():
                        self._do(job_id, first_attempt=False)
            except Stopped:  # it was not claimed
                self._record(lambda: self._unsend(job_id))
        if self._refusals:
            stopping.wait(min(SHORTEST * 2 ** min(self._refusals - 1, 10), LONGEST))

    def _do_beside_others(self, job_id: int) -> bool:
        """Does a job, unless it must be done alone; returns False if it must."""
        if self.settings.max_attempts == 1:
            return False
        with self._company.beside_others():
            return self._do(job_id, first_attempt=True)

    def _do(self, job_id: int, *, first_attempt: bool) -> bool:
        """Does a job; returns False if it was tried before, and ``first_attempt`` leaves such jobs alone."""
        watch, began = Stopwatch(OWN.watch), time.monotonic()
        with watch.on("claim"):
            claim = self._record(self._claims(job_id, first_attempt))
        if claim is None:
            if first_attempt and self._record(lambda: store.was_tried(self.engine, job_id)):
                return False
            logger.info("job %d: done, taken or cancelled already", job_id)
            return True
        with about(run=claim.run_id), OWN.job(job_id):
            self._do_claimed(claim, watch, began)
        return True

    def _do_claimed(self, claim: Claim, watch: Stopwatch, began: float) -> None:
        with self._lease(claim) as lost:
            found = self._found(claim, lost, watch)
            if found is None:
                return
            seconds = self._seconds(claim, watch, began)
            with watch.on("commit"):
                stored = self._record(lambda: store.finish(self.engine, claim, *found, seconds=seconds))
        self._refusals = 0
        images = claim.last - claim.first + 1
        if stored:
            OWN.ended("stored", images=images, failed=found.failed)
        else:
            OWN.ended("late")
        result = f"{images} images{_copies(claim)}, {len(found.failed)} without a result"
        said = result if stored else "another worker was first"
        took = time.monotonic() - began
        logger.info("job %d of run %s: %s, %.2f s (%s)", claim.id, claim.run_id, said, took, watch)

    def _seconds(self, claim: Claim, watch: Stopwatch, began: float) -> float | None:
        """For how long a job kept this process from others, which overlap it; None if not all its images were wanted.

        It is counted from the end of the job before, or from when its model was loaded, if that was later.
        """
        stages = watch.so_far()
        ready = began + stages.get("claim", 0) + stages.get("load", 0)
        with self._computing:
            since, self._computed_at = max(ready, self._computed_at), time.monotonic()
            return self._computed_at - since if len(claim.images) == claim.last - claim.first + 1 else None

    def _claims(self, job_id: int, first_attempt: bool) -> Callable[[], Claim | None]:
        """Claims a job, whenever it is called. What an earlier call that failed may have claimed is given back first.

        If the connection breaks at the COMMIT, nobody says whether the job was claimed. It would wait for the end of
        its lease, and the attempt would count.
        """
        calls = count()

        def claim() -> Claim | None:
            if next(calls) and job_id not in OWN.in_hand:
                store.hand_back(self.engine, worker=self.name, job_id=job_id)
            return store.claim(
                self.engine, job_id, worker=self.name, lease=self.settings.lease, first_attempt=first_attempt
            )

        return claim

    def _found(self, claim: Claim, lost: threading.Event, watch: Stopwatch) -> Found | None:
        """What a job finds; None if it finds nothing and is not ours any more."""
        try:
            if (found := self._compute(claim, lost, watch)) is not None:
                return found
            logger.info("job %d: stopped half way: it was cancelled, or another worker has it", claim.id)
            self._hand_back(claim)
        except Stopped:
            logger.info("job %d: handed back: this process was told to stop before its turn came", claim.id)
            self._hand_back(claim)
        except WrongUse as error:
            self._refuse(claim, str(error))
        except BrokenProcess as error:
            self._end(claim, error)
        except Exception as error:
            # A bug, or a machine on which nothing works. The attempt counts; after the last one, the job is split
            # until the image that causes it is alone, and becomes a failure.
            logger.exception("job %d: given up", claim.id)
            OWN.ended("failed")
            note = f"unexpected, see the worker's log: {type(error).__name__}: {one_line(error)}"
            self._record(lambda: store.give_up(self.engine, claim.id, worker=self.name, note=note, after=AGAIN_AFTER))
        return None

    def _compute(self, claim: Claim, lost: threading.Event, watch: Stopwatch) -> Found | None:
        work = claim.work()
        all_found = Found([], [], [])
        with ExitStack() as using:
            with watched(LOADING * self.settings.stall), watch.on("load"):
                loaded = using.enter_context(self.compute.loaded(work))
            # Not watched: waiting for the database does not count as a stall.
            if not claim.began_with(*loaded.pinned):
                with watch.on("claim"):
                    pinned = loaded.pinned._asdict()
                    self._record(lambda: store.pin_weights(self.engine, claim.run_id, **pinned))
            # Closed here, while the stall is watched: threads that are still at work may hang as well.
            with watched(self.settings.stall), closing(loaded.found(watch)) as parts:
                for some in parts:
                    if lost.is_set():
                        return None
                    all_found = all_found.plus(some)
        return all_found

    def _unsend(self, job_id: int) -> None:
        with writing(self.engine) as session:
            unsend(session, [job_id])

    def _hand_back(self, claim: Claim) -> None:
        OWN.ended("handed_back")
        self._record(lambda: store.hand_back(self.engine, worker=self.name, job_id=claim.id))

    def _record(self, act: Callable[[], T]) -> T:
        """Runs a transaction, and waits for the database if it is away; results wait in memory meanwhile."""
        return outlast(act, logger.warning)

    def _refuse(self, claim: Claim, note: str) -> None:
        logger.warning("job %d: refused: %s", claim.id, note)
        OWN.ended("refused")
        self._refusals += 1
        self._record(lambda: store.refuse(self.engine, claim, worker=self.name, note=note, after=REFUSED_FOR))

    def _end(self, claim: Claim, error: BrokenProcess) -> NoReturn:
        """Gives the job back and ends this process; the supervisor starts a new one, and gives back the other jobs.

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


def name_of_process(settings: Settings) -> str:
    """The name by which this process claims jobs: the supervisor finds them by it (worker/supervisor.py)."""
    return f"{settings.worker_name or socket.gethostname()}:{os.getpid()}"


def _copies(claim: Claim) -> str:
    """Which copies of each image a job of a certificate counts, for the log."""
    first, last = claim.copies
    return f", copies {first} to {last}" if last else ""
