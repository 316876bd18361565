"""Parquet files as a dataset source."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from db.errors import WrongUse
from db.shards import GROUP_LIMIT, Cell, Member, member_name
from producer.labels import Labels
from producer.place import File, Place
from producer.shards import Shards
from producer.table import Table, pyarrow_errors, table_of

if TYPE_CHECKING:
    from pyarrow.parquet import ColumnChunkMetaData, ParquetFile


class Parquet(Shards):
    """.parquet files with a column of image bytes, as on the Hugging Face hub; labels from their column `label`."""

    name = "parquet"
    looks_like = "a .parquet file"
    suffix = ".parquet"

    def members(self, folder: Place, file: File, labels: Labels | None) -> Iterator[tuple[Member, int | None]]:
        """The rows. The images themselves are not read.

        Raises:
            WrongUse: as for all shards; or if a row group is too large, or holds paths in place of images.
        """
        where = f"{folder.shown}: {file.path}"
        with folder.open_bytes(file.path) as stream, pyarrow_errors(where):
            from pyarrow.parquet import ParquetFile

            parquet = ParquetFile(stream)
            table = table_of(parquet.schema_arrow, labels, where)
            _check_groups(parquet, table, where)
            for row, (path, value) in enumerate(_rows(parquet, table)):
                member = Member(file.path, Cell(table.image, row), member_name(path))
                yield member, table.label_of(value, member.name, labels, f"{where} row {row}")


def _rows(parquet: "ParquetFile", table: Table) -> Iterator[tuple[str | None, Any]]:
    """The path and the label of each row, or None."""
    columns = ([f"{table.image}.path"] if table.named else []) + ([table.label] if table.label else [])
    if not columns:
        yield from [(None, None)] * parquet.metadata.num_rows
        return
    for batch in parquet.iter_batches(columns=columns):
        nothing = [None] * len(batch)
        paths = batch.column(table.image).field("path").to_pylist() if table.named else nothing
        yield from zip(paths, batch.column(table.label).to_pylist() if table.label else nothing, strict=True)


def _check_groups(parquet: "ParquetFile", table: Table, where: str) -> None:
    """Checks that workers can read the row groups, each as a whole, and that there are images in them."""
    groups = [parquet.metadata.row_group(number) for number in range(parquet.metadata.num_row_groups)]
    if (largest := max((group.total_byte_size for group in groups), default=0)) > GROUP_LIMIT:
        raise WrongUse(
            f"{where}: a row group of it has {largest / 1e9:.1f} GB, and workers read whole row groups of at most "
            f"{GROUP_LIMIT / 1e9:.1f} GB: write it with row_group_size=100"
        )
    # Of no other column: pyarrow ends the process where it looks at the damaged entry of a column.
    paths = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
    images = [number for number, path in enumerate(paths) if path in (table.image, f"{table.image}.bytes")]
    if groups and all(_is_empty(group.column(image)) for group in groups for image in images[:1]):
        raise WrongUse(f"{where}: its rows hold paths in place of images: write it with the images' bytes in it")


def _is_empty(column: "ColumnChunkMetaData") -> bool:
    """Whether no row of a row group has an image; False if the file does not say."""
    statistics = column.statistics
    return statistics is not None and bool(statistics.null_count == column.num_values)


MEMBER = Parquet()
