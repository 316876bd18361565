"""Stalls: a process with a job that shows no sign of life for too long is ended, as by a crash.

Several jobs are in hand at a time, and one that hangs must not hide behind the others: each has its own deadline.
"""

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Lock

#: Of the signs that a job gives, at most so many are noted in the time that it has for one: to note one takes 0.1 ms.
NOTED = 20


class Deadline:
    """The time until which the next sign of life of a job must come."""

    def __init__(self, stall: float) -> None:
        self.stall, self.noted = stall, -float("inf")

    @property
    def ends(self) -> float:
        """Later than the last sign that was noted allows, because there may have been others since."""
        return self.noted + self.stall * (1 + 1 / NOTED)


#: The deadline of the job that this thread works on.
_mine: ContextVar[Deadline | None] = ContextVar("deadline", default=None)
_all: set[Deadline] = set()
_lock = Lock()


@contextmanager
def watched(stall: float) -> Iterator[None]:
    """Ends this process if the block goes on without a call of ``alive`` for ``stall`` seconds.

    Threads that work for the block run in copies of its context (worker/lanes.py), and their calls count, too.
    """
    deadline = Deadline(stall)
    token = _mine.set(deadline)
    with _lock:
        _all.add(deadline)
    alive()
    try:
        yield
    finally:
        _mine.reset(token)
        with _lock:
            _all.remove(deadline)
            _set_timer()


def alive() -> None:
    """A sign of life of the job that this thread works on; of no effect if none is watched."""
    deadline, now = _mine.get(), time.monotonic()
    if deadline is None or now < deadline.noted + deadline.stall / NOTED:
        return
    with _lock:
        deadline.noted = now
        _set_timer()


def _set_timer() -> None:
    """faulthandler's thread does not need Python's global lock, which a decoder that never returns may hold."""
    if not _all:
        faulthandler.cancel_dump_traceback_later()
        return
    left = max(0.001, min(deadline.ends for deadline in _all) - time.monotonic())
    faulthandler.dump_traceback_later(left, exit=True, file=sys.__stderr__ or sys.stderr)
