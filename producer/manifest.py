"""A .csv or .jsonl file with a row ``file_name,label`` per image: a manifest, and what --labels takes."""

import csv
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple

from db.errors import WrongUse
from producer.labels import Labels
from producer.place import Place
from producer.progress import counted
from producer.rows import Rows

SUFFIXES = (".csv", ".jsonl")
HEADER = "file_name,label"
#: Characters in a line, at most.
LONGEST_LINE = 2**20


class Row(NamedTuple):
    """A row of a manifest."""

    path: str
    label: int | None
    #: The number of its line, for messages.
    line: int


def read_manifest(place: Place, labels: Labels | None) -> Rows[Row]:
    """The rows of a manifest, in its order; without a label where the row has none. No path is there twice.

    Args:
        place: the file; paths in it are relative to its folder.
        labels: the model's classes; None leaves the labels unread.

    Raises:
        Unreadable: if there is no such file, or it cannot be read.
        WrongUse: naming the line that is not valid.
    """
    try:
        rows: Rows[Row] = Rows(Row, counted(_rows(place, labels), "listed"))
    except UnicodeDecodeError:
        raise WrongUse(f"{place.shown}: not UTF-8 text: save it as UTF-8") from None
    if not len(rows):
        raise WrongUse(f"{place.shown}: no rows in it; it needs {HEADER} and a row an image")
    if again := rows.twice("path"):
        raise WrongUse(f"{place.shown} line {again.line}: {again.path} is listed twice")
    return rows


def _rows(place: Place, labels: Labels | None) -> Iterator[Row]:
    with place.open_text() as opened:
        for number, row in _parsed(place, _lines(opened, place.shown)):
            where = f"{place.shown} line {number}"
            path = _path(row.get("file_name"), where)
            yield Row(path, labels.read(row.get("label"), where) if labels else None, number)


def _parsed(place: Place, lines: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if place.name.lower().endswith(".jsonl"):
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _json(line, f"{place.shown} line {number}")
        return
    table = csv.DictReader(lines, skipinitialspace=True, strict=True)
    try:
        table.fieldnames = [name.strip().lower() for name in table.fieldnames or ()]
        if "file_name" not in table.fieldnames:
            raise WrongUse(f"{place.shown}: its first line must be the header {HEADER}")
        for row in table:
            yield table.line_num, row
    except csv.Error as error:
        raise WrongUse(f"{place.shown} line {table.line_num + 1}: {error}") from None


def _lines(opened: IO[str], shown: str) -> Iterator[str]:
    """The lines of a text: one that never ends is refused before it fills the memory."""
    number = 0
    while line := opened.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise WrongUse(f"{shown} line {number}: longer than {LONGEST_LINE:,} characters: this is no manifest")
        yield line


def _json(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise WrongUse(f"{where}: not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError):
        raise WrongUse(f"{where}: not JSON that can be read: a number too long, or too deep") from None
    return row if isinstance(row, dict) else {}


def _path(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise WrongUse(f"{where}: no file_name; each row needs {HEADER} (the label may be empty)")
    path = PurePosixPath(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise WrongUse(f"{where}: {value!r} is no file's name: it holds half a character") from None
    if path.is_absolute() or ".." in path.parts or "\0" in value:
        raise WrongUse(f"{where}: {value!r} leaves the manifest's folder; paths are relative to it")
    return path.as_posix()
