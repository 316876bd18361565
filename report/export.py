"""A run as a file for other programs: its rows, or its summary, written page by page."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from sqlalchemy.orm import Session

from db.errors import SmoothvoteError, WrongUse
from db.runs import RunInfo
from report import certified_flat, certified_rows, rows
from report.certified import certified
from report.exports import EXPORTS, Export, page_of
from report.flat import level_rows, level_types
from report.report import report

What = Literal["rows", "summary"]


def form_of(form: str | None, output: Path | None) -> Export:
    """The format that was asked for, else the one that the file's name ends in, else CSV.

    Raises:
        WrongUse: if there is no such format, or it is not text and is to go to stdout.
    """
    if form is None and output is not None:
        form = output.suffix.lower().removeprefix(".")
        if form not in EXPORTS:
            endings = ", ".join(f".{known}" for known in EXPORTS)
            raise WrongUse(f"{output}: its ending is no format's; use one of {endings}, or say --format")
    export = EXPORTS.find(form or "csv")
    if not export.text and output is None:
        raise WrongUse(f"{export.name} is not text: name a file with --output FILE")
    return export


def write_run(
    session: Session,
    run: RunInfo,
    what: What,
    export: Export,
    out: IO[bytes],
    *,
    alpha: float | None = None,
    n: int | None = None,
) -> int:
    """Writes a run of votes or of certificates and returns the number of rows. Memory does not grow with them.

    Args:
        session: a reading one: all rows are of one moment.
        run: the run.
        what: its rows, or its summary: a row a level. docs/reference/python.md has the columns of both.
        export: the format.
        out: where to write.
        alpha: of certificates: the probability with which each may be wrong; None: as in usual_alpha().
        n: of certificates: how many of the stored copies estimate; None for all that were asked for.

    Raises:
        WrongUse: for an α or n that the record cannot answer.
    """
    if run.recipe.certifies:
        return _write_certificates(session, run, what, export, out, alpha, n)
    if what == "rows":
        pages = rows.as_written(rows.pages(session, run), run.recipe)
        return export.write(pages, rows.written_types(run.recipe), out)
    levels = level_rows(report(session, run))
    types = level_types(levels)
    return export.write([page_of(levels, types)], types, out)


def _write_certificates(
    session: Session, run: RunInfo, what: What, export: Export, out: IO[bytes], alpha: float | None, n: int | None
) -> int:
    if what == "rows":
        pages = certified_rows.certificate_pages(session, run, alpha=alpha, n=n)
        return export.write(pages, certified_rows.COLUMNS, out)
    levels = certified_flat.level_rows(certified(session, run, alpha=alpha, n=n))
    types = certified_flat.level_types(levels[0])
    return export.write([page_of(levels, types)], types, out)


@contextmanager
def whole_file(file: Path) -> Iterator[IO[bytes]]:
    """A file to write to. It appears under its name when it is complete; after an error, not at all.

    Raises:
        WrongUse: if no file can be created there.
        SmoothvoteError: if writing fails, as on a full disk.
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
