"""How rows are written for other programs: one format a file, each a MEMBER, found by its name.

Rows come in pages of columns and are written as they come, so ten million take no more memory than ten thousand.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from db.registry import Family

#: Some rows as columns, by name and in order.
Page = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Export:
    """A way to write rows."""

    #: What `--format` calls it, and the ending of its files.
    name: str
    #: From pages, the type of each column by its name, and where to, to the number of rows written.
    write: Callable[[Iterable[Page], Mapping[str, type], IO[bytes]], int]
    #: Whether it is text, which may be printed.
    text: bool = True


EXPORTS: Family[Export] = Family("report.exports", "export format")


def page_of(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> Page:
    """Rows in memory as one page."""
    return {name: [row[name] for row in rows] for name in names}
