"""What a worker process has done since it started: its heartbeat and its metrics tell it to others."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock

from db.found import Failed
from worker.stopwatch import Stopwatch

#: How a job ends for the worker that claimed it: its results were stored; another worker was first; this machine cannot
#: do it; it failed with an unforeseen error; it was cancelled, another worker has it, or this process is to stop.
ENDS = ("stored", "late", "refused", "failed", "handed_back")

#: Seconds over which the share of busy time is told.
MINUTE = 60.0


class Activity:
    """Counts of a process's jobs, images and failures, and its stopwatch. Threads share it."""

    def __init__(self) -> None:
        #: `cpu` or `cuda:N`.
        self.device = "cpu"
        #: When the database took the last heartbeat, by time.monotonic; None before the first one.
        self.beat_at: float | None = None
        #: Adds up the stages of all jobs.
        self.watch = Stopwatch()
        #: How the model runs that was loaded last, and which it is; None before the first one.
        self.engine: str | None = None
        self.model: str | None = None
        self.jobs: Counter[str] = Counter(dict.fromkeys(ENDS, 0))
        #: Images whose results were stored, and how many of them failed, by code.
        self.images = 0
        self.failures: Counter[str] = Counter()
        #: Jobs in hand, in the order in which they came.
        self._in_hand: list[int] = []
        self._lock = Lock()
        self._samples = deque([(time.monotonic(), 0.0)])

    @contextmanager
    def job(self, job_id: int) -> Iterator[None]:
        """A job is in hand while the block runs."""
        with self._lock:
            self._in_hand.append(job_id)
        try:
            yield
        finally:
            with self._lock:
                self._in_hand.remove(job_id)

    def ended(self, how: str, *, images: int = 0, failed: Iterable[Failed] = ()) -> None:
        """Counts a job that ended, in one of the ways of ENDS, with the images and failures that were stored."""
        with self._lock:
            self.jobs[how] += 1
            self.images += images
            self.failures.update(failure.code for failure in failed)

    @property
    def in_hand(self) -> list[int]:
        """Ids of the jobs in hand, the oldest first."""
        with self._lock:
            return list(self._in_hand)

    @property
    def stage(self) -> str:
        """What the process does now: `idle`, `loading` a model, or `working`."""
        if not self.in_hand:
            return "idle"
        return "loading" if self.watch.is_on("load") else "working"

    @property
    def silent(self) -> float | None:
        """Seconds since the database took a heartbeat; None before the first one."""
        return None if self.beat_at is None else time.monotonic() - self.beat_at

    def busy_share(self) -> float:
        """The share of the last minute, or of the time since the start if that is shorter, with the device busy."""
        now, busy = time.monotonic(), self.watch.busy()
        with self._lock:
            self._samples.append((now, busy))
            while len(self._samples) > 2 and self._samples[1][0] <= now - MINUTE:
                self._samples.popleft()
            then, before = self._samples[0]
        return min(1.0, (busy - before) / (now - then)) if now > then else 0.0


#: What this process does.
OWN = Activity()
