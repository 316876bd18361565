"""Connections to the record: SQLite in WAL mode or PostgreSQL, through the same code."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from db.errors import Away, WrongUse, one_line
from db.settings import Settings
from db.tables import REVISION

#: What this is tested with: one driver of each database.
DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")

#: PostgreSQL's code for a write where none is taken.
READ_ONLY = "25006"

#: Seconds: nothing hangs. SQLite waits so long for another writer; a PostgreSQL that fell silent is given up within 30.
TIMEOUTS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 30},
    "postgresql": {
        "connect_timeout": 10,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,  # milliseconds
    },
}


def connect(settings: Settings) -> Engine:
    """An engine over a database that is there and at this code's revision.

    Raises:
        Away: if it cannot be reached.
        WrongUse: if it is not migrated, or is newer than this code.
    """
    engine = open_engine(settings)
    where = shown(engine)
    if settings.embedded_database and not Path(engine.url.database or "").exists():
        raise WrongUse(
            f"no runs are recorded here: {engine.url.database} does not exist; begin with `smoothvote run IMAGES`"
        )
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        raise WrongUse(
            f"the database at {where} is not set up: run `smoothvote db upgrade`, if its name is right: there is no such file"
        )
    found = current_revision(engine)
    if found is None or not serves(found):
        engine.dispose()
    if found is None:
        raise WrongUse(f"the database at {where} is not set up: run `smoothvote db upgrade`")
    if found < REVISION:
        raise WrongUse(
            f"the database at {where} is at revision {found}, this code needs {REVISION}: run `smoothvote db upgrade`"
        )
    if not serves(found):
        raise WrongUse(
            f"the database at {where} is at revision {found}, newer than this code's {REVISION}: install the newer smoothvote"
        )
    return engine


def serves(found: str) -> bool:
    """Whether this code can work on a database at that revision.

    A revision is a generation and a step, two digits each. A step only adds, so that workers of the version before
    go on beside those of the version after it; what they could not go on with begins a new generation.
    """
    return found[:2] == REVISION[:2] and found >= REVISION


def open_engine(settings: Settings) -> Engine:
    """An engine that has not been asked anything yet.

    Raises:
        WrongUse: if the URL is not one of SQLite or PostgreSQL.
    """
    try:
        # A folder's name may hold what means something in a URL.
        embedded = settings.embedded_database
        url = URL.create("sqlite", database=settings.database) if embedded else make_url(settings.database)
        if url.drivername not in DRIVERS or (url.get_backend_name() == "sqlite" and not url.database):
            raise WrongUse(
                f"SMOOTHVOTE_DATABASE_URL: {url.drivername} is not supported; use postgresql:// or sqlite:///FILE"
            )
        # Two connections a process, so that workers times two stays below the server's limit.
        pool: dict[str, Any] = {"pool_size": 2, "max_overflow": 1, "pool_pre_ping": True}
        engine = create_engine(url, connect_args=TIMEOUTS[url.get_backend_name()], **pool)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUse(
            "SMOOTHVOTE_DATABASE_URL is not a database URL: use postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "handle_error", _leave_read_only)
    return engine


def current_revision(engine: Engine) -> str | None:
    """The migration that the database is at, or None before the first.

    Raises:
        Away: if the database cannot be reached.
    """
    try:
        with reading(engine) as session:
            if not inspect(session.connection()).has_table("alembic_version"):
                return None
            found = session.scalar(text("SELECT version_num FROM alembic_version"))
            return None if found is None else str(found)
    except DBAPIError as error:
        where, why = shown(engine), first_line(error)
        raise Away(
            f"cannot reach the database at {where}: {why}; is it up, and is SMOOTHVOTE_DATABASE_URL right?"
        ) from None


def first_line(error: DBAPIError) -> str:
    """What the database's driver said, in one line."""
    return one_line(error.orig or error)


def shown(engine: Engine) -> str:
    """Where the database is, without anything that may be secret: a password may stand in several places of a URL."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"{url.database}"
    return f"{url.get_backend_name()} {url.database or ''} on {url.host or url.query.get('host', 'this machine')}"


#: What a PostgreSQL server is to watch over, for each connection.
SERVER_SETTINGS = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": 15,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
}


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session whose every statement sees the same moment, and which never waits for a writer."""
    options: dict[str, Any] = {"smoothvote_begin": "BEGIN"}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with Session(engine.execution_options(**options)) as session:
        if engine.dialect.name == "postgresql":  # who reads page by page holds no lock
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
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


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # A machine that vanished in a transaction must not hold its locks for hours, nor others wait for them in silence.
    connection.autocommit = True
    with connection.cursor() as cursor:
        for setting, value in SERVER_SETTINGS.items():
            cursor.execute(f"SET {setting} = '{value}'")
    connection.autocommit = False


def _leave_read_only(context: ExceptionContext) -> None:
    # A server that was the primary and is one no more: this connection will never write again, a new one may.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads and then writes fails at once if another wrote between (SQLITE_BUSY_SNAPSHOT),
    # whatever the timeout: writers take the lock first, and wait for it.
    connection.exec_driver_sql(connection.get_execution_options().get("smoothvote_begin", "BEGIN IMMEDIATE"))
