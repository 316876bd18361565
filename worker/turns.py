"""Turns: how the jobs that a process has in hand wait for each other."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event, Lock

from worker.stall import alive

#: Seconds between two looks at what may have changed while a job waits.
LOOK = 0.2

#: Set once this process was told to stop.
stopping = Event()


class Stopped(Exception):
    """This process was told to stop before the turn of a job came."""


@contextmanager
def patient(lock: Lock) -> Iterator[None]:
    """Holds a lock that another job may hold for long. To wait for it is no stall."""
    while not lock.acquire(timeout=LOOK):
        alive()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def in_turn(lock: Lock) -> Iterator[None]:
    """The same, for a lock without which a job does not begin.

    Raises:
        Stopped: if this process was told to stop: then no further job begins.
    """
    while not lock.acquire(timeout=LOOK):
        alive()
        if stopping.is_set():
            raise Stopped
    try:
        if stopping.is_set():
            raise Stopped
        yield
    finally:
        lock.release()


class Company:
    """Lets jobs in: either several side by side, or one alone."""

    def __init__(self) -> None:
        self._door, self._inside, self._changed = Lock(), 0, Condition()

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """Waits until no job is, or waits to be, alone. Raises Stopped."""
        with in_turn(self._door), self._changed:
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Waits until no other job is inside, and keeps the door shut. Raises Stopped."""
        with in_turn(self._door):
            with self._changed:
                while self._inside:
                    self._changed.wait(LOOK)
                    if stopping.is_set():
                        raise Stopped
            yield
