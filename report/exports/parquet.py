"""Parquet: typed columns, text as it is. It needs pyarrow, which is imported when a file is written."""

from collections.abc import Iterable, Mapping
from typing import IO

from report.exports import Export, Page


def write(pages: Iterable[Page], types: Mapping[str, type], out: IO[bytes]) -> int:
    """Writes pages and returns the number of rows.

    Raises:
        WrongUse: if pyarrow is not installed.
    """
    from report.frames import write_parquet

    return write_parquet(pages, types, out)


MEMBER = Export("parquet", write, text=False)
