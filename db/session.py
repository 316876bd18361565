"""Connections to the database: SQLite in WAL mode or PostgreSQL, through the same code."""

import atexit
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any
from weakref import WeakSet

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    ExceptionContext,
    column,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, NoSuchModuleError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from db.errors import Away, WrongUse, one_line
from db.settings import Settings
from db.tables import REVISION, Base

#: The drivers that the tests run with: one for each database.
DRIVERS = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")

#: Reads the revision, which Alembic stores.
REVISION_OF = select(table("alembic_version", column("version_num")).c.version_num)

#: PostgreSQL's error code for a write to a server that is read-only.
READ_ONLY = "25006"

#: Limits in seconds, so that no call hangs. SQLite waits so long for another writer; a PostgreSQL that does not answer
#: counts as lost after 30 s.
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

#: The engines of this process.
_OPENED: WeakSet[Engine] = WeakSet()


@atexit.register
def _close() -> None:
    """Closes all connections as the process ends: with the last one, SQLite's log goes into the database's one file."""
    for engine in list(_OPENED):
        engine.dispose()


def connect(settings: Settings) -> Engine:
    """An engine for a database that exists and has a revision that this code can work with.

    Raises:
        Away: if the database cannot be reached.
        WrongUse: if it does not exist, or must be upgraded, or is newer than this code.
    """
    engine = open_engine(settings)
    where = shown(engine)
    if settings.embedded_database and not Path(engine.url.database or "").exists():
        raise WrongUse(
            f"no runs are recorded here: {engine.url.database} does not exist; begin with `smoothvote run IMAGES`"
        )
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        raise WrongUse(
            f"the database at {where} is not set up: run `smoothvote db upgrade` to create the file, or correct its name"
        )
    try:
        check_revision(current_revision(engine), where)
    except WrongUse:
        engine.dispose()
        raise
    return engine


def check_revision(found: str | None, where: str) -> None:
    """Checks that this code can work with a database at a revision.

    A revision is a generation and a step, two digits each. A step only adds, so this code works with all later steps of
    its own generation: workers of two versions run side by side. A migration that this code could not live with begins
    a new generation.

    Args:
        found: the database's revision; None before the first migration.
        where: the database, as messages name it.

    Raises:
        WrongUse: if it cannot, naming the remedy.
    """
    if found is None:
        raise WrongUse(f"the database at {where} is not set up: run `smoothvote db upgrade`")
    if found < REVISION:
        raise WrongUse(
            f"the database at {where} is at revision {found}, but this code needs {REVISION}: run `smoothvote db upgrade`"
        )
    if found[:2] != REVISION[:2]:
        raise WrongUse(
            f"the database at {where} is at revision {found}, newer than this code's {REVISION}: install the newer smoothvote"
        )


def check_generation(session: Session) -> None:
    """Checks that nobody upgraded the database to another generation since this process connected to it.

    Raises:
        Away: if somebody did. A worker then waits, until a newer one replaces it.
    """
    check_same_generation(session.scalar(REVISION_OF), session.get_bind().engine)


def check_same_generation(found: str | None, engine: Engine) -> None:
    """The same, of a revision that was read already."""
    try:
        check_revision(found, shown(engine))
    except WrongUse as error:
        raise Away(str(error)) from None


def open_engine(settings: Settings) -> Engine:
    """An engine that has not connected yet, for a database in any state.

    Raises:
        WrongUse: if the URL is not a URL of SQLite or PostgreSQL.
    """
    try:
        # Not parsed as a URL: the name of the home folder may contain ? or %.
        embedded = settings.embedded_database
        url = URL.create("sqlite", database=settings.database) if embedded else make_url(settings.database)
        if url.drivername not in DRIVERS or (url.get_backend_name() == "sqlite" and not url.database):
            raise WrongUse(
                f"SMOOTHVOTE_DATABASE_URL: {url.drivername} is not supported; use postgresql:// or sqlite:///FILE"
            )
        # Few connections per process: the server's limit is shared by all workers.
        engine = create_engine(url, connect_args=TIMEOUTS[url.get_backend_name()], pool_size=2, max_overflow=1)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUse(
            "SMOOTHVOTE_DATABASE_URL is not a database URL: use postgresql://USER:PASSWORD@HOST/NAME or sqlite:///FILE"
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "checkout", _leave_if_ended)
        event.listen(engine, "handle_error", _leave_read_only)
    _OPENED.add(engine)
    return engine


def current_revision(engine: Engine) -> str | None:
    """The database's revision, or None before the first migration.

    Raises:
        Away: if the database cannot be reached.
    """
    try:
        with reading(engine) as session:
            if not inspect(session.connection()).has_table("alembic_version"):
                return None
            found = session.scalar(REVISION_OF)
            return None if found is None else str(found)
    except DBAPIError as error:
        where, why = shown(engine), first_line(error)
        raise Away(
            f"cannot reach the database at {where}: {why}; is it up, and is SMOOTHVOTE_DATABASE_URL right?"
        ) from None


def first_line(error: DBAPIError) -> str:
    """The database's own message, in one line."""
    return one_line(error.orig or error)


def shown(engine: Engine) -> str:
    """Where the database is, for a message. Only parts of its URL that cannot hold a password."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"{url.database}"
    return f"{url.get_backend_name()} {url.database or ''} on {url.host or url.query.get('host', 'this machine')}"


#: Settings of each PostgreSQL session: the server itself ends a wait for a lock, and a client that vanished.
SERVER_SETTINGS = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": 15,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
}


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A session for reading. All its statements see the database at one moment, and no writer makes it wait."""
    options: dict[str, Any] = {"smoothvote_begin": "BEGIN"}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with Session(engine.execution_options(**options)) as session:
        if engine.dialect.name == "postgresql":  # a reader may pause between two pages: it blocks nobody
            session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield session


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A session for writing: one transaction, committed at the end, or rolled back on an error."""
    with Session(engine) as session, session.begin():
        yield session


def insert(session: Session, table: type[Base]) -> Any:
    """An INSERT statement with ON CONFLICT, which both databases have beyond the SQL standard."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins no transactions itself: _begin_sqlite does
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgresql(connection: Any, _record: Any) -> None:
    # Autocommit, so that the settings outlive the rollback of the first transaction.
    connection.autocommit = True
    with connection.cursor() as cursor:
        for setting, value in SERVER_SETTINGS.items():
            cursor.execute(f"SET {setting} = '{value}'")
    connection.autocommit = False


def _leave_if_ended(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    # A server that restarts ends its connections, and says so: there is something to read before anything was asked.
    # Not SQLAlchemy's pre-ping, which asks the server each time; that takes as long as a statement.
    rested, record.info["used"] = "used" in record.info, True
    if rested and (connection.closed or _has_something_to_read(connection)):
        raise DisconnectionError("the server ended this connection")


def _has_something_to_read(connection: Any) -> bool:
    with DefaultSelector() as selector:
        selector.register(connection.fileno(), EVENT_READ)
        return bool(selector.select(timeout=0))


def _leave_read_only(context: ExceptionContext) -> None:
    # After a failover, the server behind this connection stays read-only; a new connection may reach the primary.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a writer takes the lock before it reads, and waits for it. A transaction that reads first would fail at
    # once, whatever the timeout, if another one wrote before it does (SQLITE_BUSY_SNAPSHOT).
    connection.exec_driver_sql(connection.get_execution_options().get("smoothvote_begin", "BEGIN IMMEDIATE"))
