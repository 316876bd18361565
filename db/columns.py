"""Adding many rows of numbers to a table at once: what a job has found, column by column."""

from collections.abc import Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from db.tables import Base


def add_rows(connection: Connection, table: type[Base], run_id: str, rows: Sequence[Any]) -> None:
    """Inserts rows of a run, but for those whose primary key is there already.

    PostgreSQL gets one statement with an array for each column, as text. For the 256 rows of a usual job that costs
    half of the processor time of one statement a row, and less than COPY, which cannot skip rows that are there: it
    needs a second table, and a second statement.

    Args:
        connection: in a transaction.
        table: one whose columns are ``run_id`` and numbers.
        run_id: the run.
        rows: objects with an attribute for each other column; none has a text, whose quotes an array would need.
    """
    others = [column.name for column in table.__table__.columns if column.name != "run_id"]
    values = map(attrgetter(*others), rows)
    if connection.dialect.name == "postgresql":
        arrays = dict(zip(others, map(_array, zip(*values, strict=True)), strict=True))
        connection.execute(_of_arrays(table), {"run_id": run_id, **arrays})
    else:
        marks = ", ".join(["?"] * (len(others) + 1))
        names = ", ".join(["run_id", *others])
        adds = f"INSERT INTO {table.__tablename__} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"
        connection.exec_driver_sql(adds, [(run_id, *row) for row in values])


@cache
def _of_arrays(table: type[Base]) -> Any:
    others = {column.name: column.type.compile(postgresql.dialect()) for column in table.__table__.columns}
    del others["run_id"]
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in others.items())
    return text(
        f"INSERT INTO {table.__tablename__} (run_id, {', '.join(others)})"
        f" SELECT :run_id, * FROM unnest({arrays}) ON CONFLICT DO NOTHING"
    )


def _array(numbers: Iterable[float | None]) -> str:
    return "{" + ",".join(["NULL" if number is None else str(number) for number in numbers]) + "}"
