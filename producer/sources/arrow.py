"""Arrow files as a dataset source."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from db.errors import WrongUse
from db.shards import Member, Span, member_name
from producer.labels import Labels
from producer.place import File, Place
from producer.shards import Shards
from producer.table import Table, pyarrow_errors, table_of

if TYPE_CHECKING:
    from pyarrow import Buffer, NativeFile, RecordBatch, Schema

#: How a file begins that has the same stream of messages, padded to 8 bytes, and an index behind it.
FILE_FORMAT = b"ARROW1\0\0"


class Arrow(Shards):
    """.arrow files, as `save_to_disk` of Hugging Face `datasets` writes; labels from their column `label`."""

    name = "arrow"
    looks_like = "an .arrow file"
    suffix = ".arrow"

    def members(self, folder: Place, file: File, labels: Labels | None) -> Iterator[tuple[Member, int | None]]:
        """The rows. An image lies in the file as it is, so that workers read it without pyarrow.

        Raises:
            WrongUse: as for all shards; or if the file is compressed.
        """
        where = f"{folder.shown}: {file.path}"
        with folder.open_bytes(file.path) as stream, pyarrow_errors(where):
            import pyarrow as pa

            # A file of this machine is not read but mapped: only the pages with names, sizes and labels are touched.
            source = pa.PythonFile(stream, mode="r") if folder.url else pa.memory_map(str(folder.folder / file.path))
            if source.read(len(FILE_FORMAT)) != FILE_FORMAT:
                source.seek(0)
            schema = pa.ipc.read_schema(source)
            if encoded := [field.name for field in schema if pa.types.is_dictionary(field.type)]:
                raise WrongUse(f"{where}: column {encoded[0]} is dictionary-encoded: write it without")
            table = table_of(schema, labels, where)
            row, empty = 0, True
            for begin, body, batch in _batches(source, schema):
                spans = _spans(batch, body, begin, table, where)
                for span, path, value in zip(spans, _paths(batch, table), _values(batch, table), strict=True):
                    member = Member(file.path, span, member_name(path))
                    yield member, table.label_of(value, member.name, labels, f"{where} row {row}")
                    row, empty = row + 1, empty and not span.size
            if row and empty:
                raise WrongUse(
                    f"{where}: its rows hold paths in place of images: write it with the images' bytes in it"
                )


def _batches(source: "NativeFile", schema: "Schema") -> Iterator[tuple[int, "Buffer", "RecordBatch"]]:
    """The batches of rows: where the body of each begins in the file, the body, and the rows."""
    import pyarrow as pa

    while True:
        try:
            message = pa.ipc.read_message(source)
        except EOFError:
            return
        if message.type == "record batch":
            batch = pa.ipc.read_record_batch(message, schema)
            batch.validate(full=True)  # reading a damaged one could end the process; images are not touched
            yield source.tell() - message.body.size, message.body, batch


def _spans(batch: "RecordBatch", body: "Buffer", begin: int, table: Table, where: str) -> list[Span]:
    """Where in the file the image of each row is; a span of no bytes for a row without one."""
    import pyarrow as pa

    column = batch.column(table.image)
    images = column.field("bytes") if isinstance(column, pa.StructArray) else column
    _, ends, data = images.buffers()[-3:]
    if data is None or not data.size:
        return [Span(0, 0)] * len(images)
    width = np.int64 if pa.types.is_large_binary(images.type) else np.int32
    offsets = np.frombuffer(ends, width)[: len(images) + 1].astype(np.int64)
    first, sizes = data.address - body.address, np.diff(offsets)
    if not 0 <= first <= body.size - data.size:
        raise WrongUse(f"{where}: its batches are compressed: write it without compression")
    if offsets[0] < 0 or sizes.min() < 0 or offsets[-1] > data.size:
        raise WrongUse(f"{where}: damaged: an image in it leaves its batch")
    there = [
        own and outer for own, outer in zip(images.is_valid().to_pylist(), column.is_valid().to_pylist(), strict=True)
    ]
    return [
        Span(begin + first + at, size) if valid else Span(0, 0)
        for at, size, valid in zip(offsets.tolist(), sizes.tolist(), there, strict=False)
    ]


def _paths(batch: "RecordBatch", table: Table) -> list[str | None]:
    return batch.column(table.image).field("path").to_pylist() if table.named else [None] * len(batch)


def _values(batch: "RecordBatch", table: Table) -> list[Any]:
    return batch.column(table.label).to_pylist() if table.label else [None] * len(batch)


MEMBER = Arrow()
