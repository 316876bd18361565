"""A run as a file for other programs: its rows, or its summary, as CSV, JSONL or Parquet, written page by page."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, get_args

from sqlalchemy.orm import Session

from db.errors import SmoothvoteError, WrongUse
from db.runs import RunInfo
from report import rows
from report.flat import level_rows, level_types
from report.report import report
from report.rows import Page
from report.text import csv_text

What = Literal["rows", "summary"]
Form = Literal["csv", "jsonl", "parquet"]
FORMS: tuple[Form, ...] = get_args(Form)


def form_of(form: Form | None, output: Path | None) -> Form:
    """The format that was asked for, else that of the file's ending, else CSV.

    Raises:
        WrongUse: if the ending is no format's, or Parquet is to go to stdout.
    """
    if form is None and output is not None:
        ending = output.suffix.lower().removeprefix(".")
        form = next((known for known in FORMS if known == ending), None)
        if form is None:
            raise WrongUse(f"{output}: its ending is no format's; use .csv, .jsonl or .parquet, or say --format")
    if form == "parquet" and output is None:
        raise WrongUse("Parquet is no text for stdout: name a file with --output FILE")
    return form or "csv"


def write_run(session: Session, run: RunInfo, what: What, form: Form, out: IO[bytes]) -> int:
    """Writes a run, and gives the number of rows. Memory does not grow with them.

    Args:
        session: a reading one: all is of one moment.
        run: the run.
        what: its rows (docs/reference/python.md), or its summary: a row a level.
        form: csv, jsonl or parquet.
        out: where to.
    """
    if what == "rows":
        return write(rows.pages(session, run), rows.COLUMNS, form, out)
    levels = level_rows(report(session, run))
    types = level_types(levels)
    return write([rows.page_of(levels, types)], types, form, out)


def write(pages: Iterable[Page], types: Mapping[str, type], form: Form, out: IO[bytes]) -> int:
    """Writes pages of columns as they come, and gives the number of rows.

    Args:
        pages: what to write; none at all is a file with a header and no row.
        types: of each column, by its name.
        form: csv, jsonl or parquet.
        out: where to.

    Raises:
        WrongUse: if Parquet is asked for, and its package is not installed.
    """
    if form == "parquet":
        from report.frames import write_parquet

        return write_parquet(pages, types, out)
    count = 0
    for text, rows_of_it in _csv(pages, types) if form == "csv" else _jsonl(pages):
        out.write(text.encode())
        count += rows_of_it
    return count


def _csv(pages: Iterable[Page], types: Mapping[str, type]) -> Iterator[tuple[str, int]]:
    yield ",".join(types) + "\n", 0
    for page in pages:
        columns = [map(_CELLS[types[name]], column) for name, column in page.items()]
        lines = [",".join(cells) for cells in zip(*columns, strict=True)]
        yield "\n".join([*lines, ""]), len(lines)


def _number_cell(number: float | None) -> str:
    return "" if number is None else repr(number)


def _flag_cell(flag: bool | None) -> str:
    return "" if flag is None else "true" if flag else "false"


_CELLS: dict[type, Callable[[Any], str]] = {str: csv_text, int: _number_cell, float: _number_cell, bool: _flag_cell}


def _jsonl(pages: Iterable[Page]) -> Iterator[tuple[str, int]]:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    for page in pages:
        lines = [encode(dict(zip(page, row, strict=True))) for row in zip(*page.values(), strict=True)]
        yield "\n".join([*lines, ""]), len(lines)


@contextmanager
def whole_file(file: Path) -> Iterator[IO[bytes]]:
    """A file to write to that appears under its name when all is written, or not at all.

    Raises:
        WrongUse: if no file can be made there.
        SmoothvoteError: if it cannot be written to its end.
    """
    if file.exists() and not file.is_file():  # a device or a pipe is written to, and never replaced
        with _told(file), file.open("wb") as out:
            yield out
        return
    target = Path(os.path.realpath(file))
    beside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with _told(file):
            with beside.open("wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def _told(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        misnamed = isinstance(error, (FileNotFoundError, NotADirectoryError, PermissionError))
        kind = WrongUse if misnamed else SmoothvoteError
        raise kind(f"{file}: cannot be written: {(error.strerror or str(error)).lower()}") from None
