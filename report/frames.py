"""Pages of columns as Arrow tables and DataFrames. Both packages are optional, and imported only when needed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, Any

from db.errors import WrongUse
from db.found import OUTCOMES
from report.exports import Page, page_of

try:
    import pandas
    import pyarrow
    from pyarrow import parquet
except ModuleNotFoundError as error:
    raise WrongUse(f"this needs {error.name}: pip install 'smoothvote[frames]'") from None

ARROW = {
    str: pyarrow.string(),
    int: pyarrow.int64(),
    float: pyarrow.float64(),
    bool: pyarrow.bool_(),
    datetime: pyarrow.timestamp("us", tz="UTC"),
}
#: pandas' types with a null of their own. In others a rejected vote would be NaN, and every label a float.
NULLABLE = {pyarrow.int64(): pandas.Int64Dtype(), pyarrow.bool_(): pandas.BooleanDtype()}

#: Rows of a row group in Parquet. A group is held in memory until it is written; readers are fast on large ones.
GROUP = 100_000


def to_frame(pages: Iterable[Page], types: Mapping[str, type], outcomes: Sequence[str] = OUTCOMES) -> pandas.DataFrame:
    """Pages as one DataFrame: str, float64 (NaN is null), Int64, boolean; outcome is a category of ``outcomes``."""
    schema = _schema(types)
    table = pyarrow.Table.from_batches([pyarrow.RecordBatch.from_pydict(page, schema) for page in pages], schema)
    frame = table.to_pandas(types_mapper=NULLABLE.get)
    if "outcome" in frame:
        frame["outcome"] = frame["outcome"].astype(pandas.CategoricalDtype(outcomes))
    return frame


def frame_of(rows: Sequence[Mapping[str, Any]], types: Mapping[str, type]) -> pandas.DataFrame:
    """Rows in memory as a DataFrame."""
    return to_frame([page_of(rows, types)], types)


def write_parquet(pages: Iterable[Page], types: Mapping[str, type], out: IO[bytes]) -> int:
    """Writes pages as Parquet and returns the number of rows."""
    schema, count, waiting = _schema(types), 0, []
    with parquet.ParquetWriter(out, schema) as writer:
        for page in pages:
            waiting.append(pyarrow.RecordBatch.from_pydict(page, schema))
            if sum(batch.num_rows for batch in waiting) >= GROUP:
                count += _write_group(writer, waiting, schema)
                waiting = []
        return count + _write_group(writer, waiting, schema)


def _write_group(writer: parquet.ParquetWriter, batches: list[pyarrow.RecordBatch], schema: pyarrow.Schema) -> int:
    table = pyarrow.Table.from_batches(batches, schema)
    if table.num_rows:
        writer.write_table(table, row_group_size=table.num_rows)
    return int(table.num_rows)


def _schema(types: Mapping[str, type]) -> pyarrow.Schema:
    return pyarrow.schema([(name, ARROW[of]) for name, of in types.items()])
