"""How the pages read the record: one consistent moment at a time. Slow counts are kept until another job is done."""

import os
import threading
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
from web.counts import Counts

T = TypeVar("T")


class Record:
    """The database behind the pages. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine: Engine | None = None
        self._opened: tuple[int, int] | None = None
        self._connecting = threading.Lock()
        self._counts = Counts()

    @property
    def begun(self) -> bool:
        """Whether there is a database. The first run makes the embedded one, and the pages may be open before that."""
        return not self._settings.embedded_database or Path(self._settings.database).exists()

    def check(self) -> Engine:
        """Connects to the database, if this is not done yet, and gives its engine.

        Raises:
            Away: if the database cannot be reached.
            WrongUse: if it does not exist, or is not at this code's revision.
        """
        with self._connecting:
            there = self._file()
            if self._engine is not None and there != self._opened:
                # Somebody removed the embedded database, and may have made another.
                self._engine.dispose()
                self._engine, self._counts = None, Counts()
            if self._engine is None:
                self._engine, self._opened = connect(self._settings), there
            return self._engine

    def _file(self) -> tuple[int, int] | None:
        """Device and inode of the embedded database's file; None if there is no such file."""
        if not (self._settings.embedded_database and self.begun):
            return None
        found = os.stat(self._settings.database)
        return found.st_dev, found.st_ino

    def close(self) -> None:
        """Closes the connections."""
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that reads one consistent moment. Raises as check does."""
        with reading(self.check()) as session:
            yield session

    def report(self, session: Session, run: RunInfo, so_far: Progress) -> Report:
        """The run's report, counted once for each state of the run."""
        found = self.once(("report", run.id), lambda: report(session, run), so_far)
        return replace(found, run=run)  # it may have been renamed since

    def once(self, key: tuple[Any, ...], count: Callable[[], T], *so_far: Progress) -> T:
        """The result of `count`, called once for each state of the runs.

        The number of copies done, and of those wanted, identifies the state of a run: rows come only with jobs that
        are done, and a done job stays done. A vote has one copy of each image.
        """
        state = tuple(number for one in so_far for number in (one.copies, one.done_copies))
        return self._counts.get(key, state, count)
