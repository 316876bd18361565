"""Rows that wait in a temporary file, so that a dataset of ten million images takes no more memory than a small one.

The file is a database of SQLite's that only this process sees: it sorts, and finds what is there twice, beyond memory.
"""

import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from db.errors import SmoothvoteError

Row = TypeVar("Row", bound=tuple[Any, ...])

#: Pages that SQLite keeps in memory, in KiB; what a sort holds at once is bounded by it, too.
CACHE = 16_384
#: Values that one query looks up.
AT_ONCE = 500


class Rows(Generic[Row]):
    """Named tuples of text, numbers and None in a temporary file. It is deleted with the last reference to the rows.

    Args:
        kind: their class.
        rows: what to keep, in this order.

    Raises:
        SmoothvoteError: if the temporary folder has no space for them.
    """

    def __init__(self, kind: Any, rows: Iterable[Row]) -> None:
        self._kind = kind
        # An empty name is a temporary file that SQLite deletes itself.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        marks = ", ".join("?" * len(kind._fields))
        with _space():
            for pragma in (f"cache_size = -{CACHE}", "journal_mode = OFF"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(f"CREATE TABLE kept ({', '.join(kind._fields)})")
            self._db.execute("BEGIN")
            self._count = self._db.executemany(f"INSERT INTO kept VALUES ({marks})", rows).rowcount
            self._db.execute("COMMIT")

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    def __iter__(self) -> Iterator[Row]:
        """The rows in the order in which they came."""
        return self._read("ORDER BY rowid")

    def sort(self, field: str) -> None:
        """Puts the rows in the order of a field; texts by code point, as Python sorts them."""
        with _space():
            self._db.execute(f"CREATE TABLE sorted AS SELECT * FROM kept ORDER BY {field}")
            self._db.execute("DROP TABLE kept")
            self._db.execute("ALTER TABLE sorted RENAME TO kept")

    def twice(self, field: str) -> Row | None:
        """The first row that has the same value in a field as one before it; None if there is none."""
        with _space():
            try:
                self._db.execute(f"CREATE UNIQUE INDEX once ON kept ({field})")
            except sqlite3.IntegrityError:
                again = f"SELECT rowid, row_number() OVER (PARTITION BY {field} ORDER BY rowid) AS time FROM kept"
                first = f"(SELECT min(rowid) FROM ({again}) WHERE time = 2)"
                return next(self._read(f"WHERE rowid = {first}"))
        return None

    def find(self, field: str, values: Sequence[Any]) -> Iterator[Row]:
        """The rows that have one of these values in a field. ``twice`` made its index."""
        for start in range(0, len(values), AT_ONCE):
            some = values[start : start + AT_ONCE]
            yield from self._read(f"WHERE {field} IN ({', '.join('?' * len(some))})", some)

    def _read(self, clause: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        with _space():
            query = f"SELECT * FROM kept {clause}"
            yield from map(self._kind._make, self._db.execute(query, values))


@contextmanager
def _space() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise SmoothvoteError(
            f"cannot keep the list of images in a temporary file: {error}; free space in /var/tmp, or set TMPDIR to a "
            "folder with more"
        ) from None
