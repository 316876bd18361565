"""The record as the pages ask it: found late, read a moment at a time, and its heavy sums kept until a job is done."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.runs import Progress, RunInfo
from db.session import connect, reading
from db.settings import Settings
from report.report import Report, report

T = TypeVar("T")

#: Sums that are kept, at most: a report a table of classes or a comparison each.
KEPT = 64


class Record:
    """What the pages read. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._opened: tuple[int, int] | None = None
        self._connecting = threading.Lock()
        self._sums = Sums()

    @property
    def begun(self) -> bool:
        """Whether there is a database. The embedded one comes with the first run; the pages may be open before it."""
        return not self._settings.embedded_database or Path(self._settings.database).exists()

    def check(self) -> Engine:
        """Connects, unless that is done.

        Raises:
            Away: if the database cannot be reached.
            WrongUse: if it is not there, or not at this code's revision.
        """
        with self._connecting:
            there = self._file()
            if self._engine is not None and there != self._opened:
                # Somebody removed the embedded database, and may have begun another.
                self._engine.dispose()
                self._engine, self._sums = None, Sums()
            if self._engine is None:
                self._engine, self._opened = connect(self._settings), there
            return self._engine

    def _file(self) -> tuple[int, int] | None:
        """Which file the embedded database is; None where there is none, or it is another kind."""
        if not (self._settings.embedded_database and self.begun):
            return None
        found = os.stat(self._settings.database)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Lets the database go."""
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session of one moment. Raises as check does."""
        with reading(self.check()) as session:
            yield session

    def report(self, session: Session, run: RunInfo, so_far: Progress) -> Report:
        """The run's report; counted once for what has been done so far."""
        found = self.once(("report", run.id), lambda: report(session, run), so_far)
        return replace(found, run=run)  # its name may be another by now

    def once(self, key: tuple[Any, ...], count: Callable[[], T], *so_far: Progress) -> T:
        """What `count` gives, counted once for how far the runs have come.

        Rows come with jobs that are done, and those stay done: the number of images done tells one state of a run
        from every other.
        """
        return self._sums.get(key, tuple(one.done for one in so_far), count)


class Sums:
    """A few results of slow questions; the least lately asked for is forgotten. Two who ask for one wait for it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], _Sum] = OrderedDict()

    def get(self, key: tuple[Any, ...], state: tuple[int, ...], count: Callable[[], T]) -> T:
        """What is kept for the key, if it was counted in that state; else what `count` gives."""
        with self._lock:
            kept = self._kept.setdefault(key, _Sum())
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            if kept.state != state:
                kept.value = count()
                kept.state = state
            found: T = kept.value
            return found


class _Sum:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: tuple[int, ...] | None = None
        self.value: Any = None
