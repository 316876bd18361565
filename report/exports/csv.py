"""CSV: a header, then a line a row. Null is an empty cell; no spreadsheet takes a text for a formula."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any

from report.exports import Export, Page

#: A spreadsheet takes a cell that begins so for a formula, and its author may be whoever named an image.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
#: What a cell must be quoted for.
QUOTED = re.compile('[,"\r\n]')


def write(pages: Iterable[Page], types: Mapping[str, type], out: IO[bytes]) -> int:
    """Writes a header, then the pages, and returns the number of rows."""
    count = 0
    out.write(header(types).encode())
    for page in pages:
        written = lines(page, types)
        out.write("".join(written).encode())
        count += len(written)
    return count


def header(types: Mapping[str, type]) -> str:
    """The names of the columns."""
    return ",".join(types) + "\n"


def lines(page: Page, types: Mapping[str, type]) -> list[str]:
    """A line a row."""
    columns = [map(_CELLS[types[name]], column) for name, column in page.items()]
    return [",".join(cells) + "\n" for cells in zip(*columns, strict=True)]


def text_cell(text: str | None) -> str:
    """Text from outside: quoted where it must be; with a ' before it where it could be a formula."""
    # Not by csv.writer: it leaves a carriage return unquoted where lines end with a newline alone.
    if not text:
        return ""
    text = f"'{text}" if text.startswith(FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text


def _number_cell(number: float | None) -> str:
    return "" if number is None else repr(number)


def _flag_cell(flag: bool | None) -> str:
    return "" if flag is None else "true" if flag else "false"


_CELLS: dict[type, Callable[[Any], str]] = {str: text_cell, int: _number_cell, float: _number_cell, bool: _flag_cell}

MEMBER = Export("csv", write)
