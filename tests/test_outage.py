"""Waiting for real databases that are locked, cut off or read-only; and errors that waiting would not cure."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rows import record
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from db import outage
from db.migrations import upgrade
from db.outage import outlast, passes
from db.session import connect, open_engine, reading, writing
from db.settings import Settings


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "SHORTEST", 0.02)
    monkeypatch.setattr(outage, "LONGEST", 0.1)


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> Iterator[Engine]:
    engine = open_engine(Settings(database_url=new_postgres()))
    upgrade(engine)
    yield engine
    engine.dispose()


def test_a_lock_of_another_writer_is_waited_for_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
) -> None:
    monkeypatch.setattr("db.session.TIMEOUTS", {"sqlite": {"timeout": 0.05}})
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'r.db'}")
    engine = open_engine(settings)
    upgrade(engine)
    other = sqlite3.connect(tmp_path / "r.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.execute, ["ROLLBACK"])
    release.start()
    said: list[str] = []
    assert outlast(lambda: record(engine, [0]), said.append)
    assert said[0] == "cannot use the database: database is locked; waiting for it"
    assert said[1].startswith("it is back, after")
    assert len(said) == 2
    release.join()
    other.close()
    engine.dispose()


def test_a_read_only_server_is_waited_for_with_new_connections(postgres: Engine, quick: None) -> None:
    name = postgres.url.database
    admin = create_engine(postgres.url, isolation_level="AUTOCOMMIT")

    def set_read_only(value: str) -> None:
        with admin.connect() as connection:
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}"))

    set_read_only("on")
    postgres.dispose()
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            set_read_only("off")  # open sessions stay read-only

    # This ends only if the old connection is given up.
    assert outlast(lambda: record(postgres, [0]), say)
    assert "read-only transaction" in said[0]
    assert said[1].startswith("it is back")
    admin.dispose()


def test_a_lost_connection_is_replaced(postgres: Engine, quick: None) -> None:
    cut = []

    def insert() -> str:
        with writing(postgres) as session:
            if not cut:
                cut.append(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
                with postgres.connect() as other:
                    other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": cut[0]})
            session.execute(
                text("INSERT INTO datasets (name, root, fingerprint, size, found) VALUES ('n','r','f',1,1)")
            )
        return "stored"

    assert outlast(insert, lambda _: None) == "stored"
    with postgres.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM datasets")).scalar() == 1


def test_a_server_without_free_connections_is_waited_for(postgres: Engine, quick: None) -> None:
    admin = create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE crowded_{postgres.url.database} LOGIN CONNECTION LIMIT 0"))
    url = make_url(postgres.url).set(username=f"crowded_{postgres.url.database}")
    with (
        pytest.raises(OperationalError) as raised,
        open_engine(Settings(database_url=url.render_as_string())).connect(),
    ):
        pass
    assert "too many connections" in str(raised.value)
    assert passes(raised.value)
    with admin.connect() as connection:
        connection.execute(text(f"DROP ROLE crowded_{postgres.url.database}"))
    admin.dispose()


def test_the_server_limits_waits_for_locks_and_idle_transactions(postgres: Engine) -> None:
    with writing(postgres) as session:
        assert session.execute(text("SHOW lock_timeout")).scalar() == "10s"
        assert session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "1min"
    with reading(postgres) as session:  # a reader may pause between two pages
        assert session.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "0"
    with postgres.begin() as holder:
        holder.execute(text("LOCK TABLE runs"))
        with writing(postgres) as session:
            session.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(OperationalError, match="lock timeout") as raised:
                session.execute(text("SELECT * FROM runs"))
            session.rollback()
    assert passes(raised.value)


def test_a_database_that_cannot_be_reached_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="cannot reach the database") as raised:
        connect(Settings(database_url="postgresql://127.0.0.1:1/x"))
    assert passes(raised.value)


def test_an_error_that_would_happen_again_is_raised_at_once(postgres: Engine) -> None:
    def insert(name: str) -> None:
        with writing(postgres) as session:
            values = {"name": name}
            session.execute(
                text("INSERT INTO datasets (name, root, fingerprint, size, found) VALUES (:name,'r','f',1,1)"), values
            )

    with pytest.raises(DataError):
        outlast(lambda: insert("a\0b"), pytest.fail)
    insert("n")
    with pytest.raises(IntegrityError):
        outlast(lambda: insert("n"), pytest.fail)
    with pytest.raises(ZeroDivisionError):
        outlast(lambda: 1 // 0, pytest.fail)


def test_a_connection_that_the_server_has_ended_meanwhile_is_replaced_before_it_is_used(postgres: Engine) -> None:
    with reading(postgres) as session:
        backend = session.scalar(text("SELECT pg_backend_pid()"))
    admin = create_engine(postgres.url)
    with admin.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(:backend, 10000)"), {"backend": backend}
        )  # and waits for it
    admin.dispose()
    with reading(postgres) as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != backend


def test_a_connection_that_was_closed_on_this_side_is_replaced_as_well(postgres: Engine) -> None:
    with postgres.connect() as connection:
        driver = connection.connection.driver_connection
    assert driver is not None
    driver.close()
    with reading(postgres) as session:
        assert session.scalar(text("SELECT 1")) == 1
