"""Parquet: reads the image of a row. Row groups are decompressed whole; the last ones are kept for the next rows."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db.errors import Refusal, one_line
from db.shards import GROUP_LIMIT, Cell, Member, member_name
from worker.stored import Stored
from worker.unusable import Unusable

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

#: The most bytes of images in the row groups that a process keeps. The newest one is kept whatever its size.
KEPT_BYTES = 256 * 2**20
#: Rows that are decompressed at a time. A small file can decompress to a large one: so many rows are seen too late.
ROWS_AT_ONCE = 16


@dataclass(frozen=True)
class _Group:
    """The images of a row group."""

    #: The file, its size, and the column.
    key: tuple[str, int, str]
    #: The number of the first row in the file.
    first: int
    images: list[bytes]
    names: list[str]

    @property
    def size(self) -> int:
        return sum(map(len, self.images))


class _Groups:
    """The row groups that were read last. Threads may share it: two that need the same group read it once."""

    def __init__(self) -> None:
        self._kept: list[_Group] = []
        self._reading: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def find(self, shard: Stored, file: str, cell: Cell) -> _Group:
        key = (file, shard.size, cell.column)
        with self._lock:
            reading = self._reading.setdefault(file, threading.Lock())
        with reading:
            if (group := self._kept_with(key, cell.row)) is None:
                group = _read_group(shard, key, cell.row)
                self._keep(group)
            return group

    def _kept_with(self, key: tuple[str, int, str], row: int) -> _Group | None:
        with self._lock:
            for group in self._kept:
                if group.key == key and 0 <= row - group.first < len(group.images):
                    self._kept.remove(group)
                    self._kept.append(group)  # the last is the one that was used last
                    return group
        return None

    def _keep(self, group: _Group) -> None:
        with self._lock:
            self._kept.append(group)
            while len(self._kept) > 1 and sum(kept.size for kept in self._kept) > KEPT_BYTES:
                del self._kept[0]


_GROUPS = _Groups()


def read_cell(shard: Stored, file: str, member: Member, cell: Cell) -> bytes:
    """Reads the bytes of an image; none if the row has none.

    Args:
        shard: the open Parquet file.
        file: its name, for what is kept of it.
        member: the image, for its name and for messages.
        cell: its column and row.

    Raises:
        Unusable: changed, too_many_bytes or unreadable.
        Refusal: if pyarrow is not installed.
    """
    try:
        group = _GROUPS.find(shard, file, cell)
    except ImportError:
        raise Refusal("this worker reads no Parquet: pip install 'smoothvote[shards]'") from None
    except IndexError:
        raise Unusable(
            "changed", f"{member.file} has no row {cell.row} in a column {cell.column!r}: submit again"
        ) from None
    if member.name != group.names[cell.row - group.first]:
        raise Unusable("changed", f"{member.file} has another image in row {cell.row}: submit again")
    return group.images[cell.row - group.first]


def _read_group(shard: Stored, key: tuple[str, int, str], row: int) -> _Group:
    """Reads the row group that has a row.

    Raises:
        IndexError: if there is no such row or column.
        Unusable: too_many_bytes or unreadable.
    """
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        # pre_buffer: a column is read in few large parts, which matters behind a URL.
        with shard.stream() as stream, ParquetFile(stream, pre_buffer=True) as parquet:
            return _decompress(parquet, key, row)
    except (pa.ArrowException, ValueError) as error:  # ValueError: a name that is no UTF-8, say
        raise Unusable("unreadable", f"the Parquet file is damaged: {one_line(error)}") from None
    except OSError as error:
        # pyarrow's own errors of a damaged file have no number; those of the system and the network do.
        if type(error) is not OSError or error.errno is not None:
            raise
        raise Unusable("unreadable", f"the Parquet file is damaged: {one_line(error)}") from None


def _decompress(parquet: "ParquetFile", key: tuple[str, int, str], row: int) -> _Group:
    column, first = key[-1], 0
    if column not in parquet.schema_arrow.names:
        raise IndexError(column)
    for number in range(parquet.metadata.num_row_groups):
        rows = parquet.metadata.row_group(number).num_rows
        if row < first + rows:
            break
        first += rows
    else:
        raise IndexError(row)
    images: list[bytes] = []
    names: list[str] = []
    left = GROUP_LIMIT
    for batch in parquet.iter_batches(ROWS_AT_ONCE, row_groups=[number], columns=[column], use_threads=False):
        for image, name in _images(batch.column(0)):
            left -= len(image)
            images.append(image)
            names.append(name)
        if left < 0:
            raise Unusable("too_many_bytes", f"the images of its row group have more than {GROUP_LIMIT} bytes")
    if len(images) != rows:
        raise Unusable("unreadable", f"the Parquet file is damaged: a row group has {len(images)} of its {rows} rows")
    return _Group(key, first, images, names)


def _images(column: Any) -> Iterator[tuple[bytes, str]]:
    """The bytes and the name of each image: of a struct, or of bytes alone."""
    for value in column.to_pylist():
        image = value if isinstance(value, dict) else {"bytes": value}
        data = image.get("bytes")
        path = image.get("path")
        yield data if isinstance(data, bytes) else b"", member_name(path if isinstance(path, str) else None)
