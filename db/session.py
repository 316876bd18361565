"""Connections to the record: SQLite in WAL mode or PostgreSQL, through the same code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.settings import Settings
from db.tables import REVISION


def connect(settings: Settings) -> Engine:
    """An engine over a database that is there and at this code's revision.

    Raises:
        WrongUse: if it cannot be reached, is not migrated, or is newer than this code.
    """
    engine = open_engine(settings)
    where = engine.url.render_as_string(hide_password=True)
    if settings.embedded_database and not Path(engine.url.database or "").exists():
        raise WrongUse(
            f"no runs are recorded here: {engine.url.database} does not exist; begin with `smoothvote run IMAGES`"
        )
    found = current_revision(engine)
    if found != REVISION:
        engine.dispose()
    if found is None:
        raise WrongUse(f"the database at {where} is not set up: run `smoothvote db upgrade`")
    if found < REVISION:
        raise WrongUse(
            f"the database at {where} is at revision {found}, this code needs {REVISION}: run `smoothvote db upgrade`"
        )
    if found > REVISION:
        raise WrongUse(
            f"the database at {where} is at revision {found}, newer than this code's {REVISION}: install the newer smoothvote"
        )
    return engine


def open_engine(settings: Settings) -> Engine:
    """An engine that has not been asked anything yet.

    Raises:
        WrongUse: if the URL is not one of SQLite or PostgreSQL.
    """
    try:
        url = make_url(settings.database)
        if url.get_backend_name() not in ("sqlite", "postgresql"):
            raise WrongUse(
                f"SMOOTHVOTE_DATABASE_URL: {url.get_backend_name()} is not supported; use postgresql:// or sqlite:///"
            )
        # Two connections a process, so that workers times two stays below the server's limit.
        pool: dict[str, Any] = {"pool_size": 2, "max_overflow": 1, "pool_pre_ping": True}
        timeout = {"timeout": 30} if url.get_backend_name() == "sqlite" else {"connect_timeout": 10}
        engine = create_engine(url, connect_args=timeout, **pool)
    except (ArgumentError, NoSuchModuleError):
        raise WrongUse(
            "SMOOTHVOTE_DATABASE_URL is not a database URL: use postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def current_revision(engine: Engine) -> str | None:
    """The migration that the database is at, or None before the first.

    Raises:
        WrongUse: if the database cannot be reached.
    """
    try:
        with reading(engine) as session:
            if not inspect(session.connection()).has_table("alembic_version"):
                return None
            found = session.scalar(text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        why = first_line(error)
        raise WrongUse(
            f"cannot reach the database at {where}: {why}; is it up, and is SMOOTHVOTE_DATABASE_URL right?"
        ) from None


def first_line(error: OperationalError) -> str:
    """What the database's driver said, in one line."""
    return str(error.orig).strip().splitlines()[0]


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session whose every statement sees the same moment, and which never waits for a writer."""
    options: dict[str, Any] = {"smoothvote_begin": "BEGIN"}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with Session(engine.execution_options(**options)) as session:
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session whose work is committed at the end, or not at all."""
    with Session(engine) as session, session.begin():
        yield session


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own: see _begin_sqlite
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads and then writes fails at once if another wrote between (SQLITE_BUSY_SNAPSHOT),
    # whatever the timeout: writers take the lock first, and wait for it.
    connection.exec_driver_sql(connection.get_execution_options().get("smoothvote_begin", "BEGIN IMMEDIATE"))
