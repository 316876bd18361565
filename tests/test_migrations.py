"""Migrations make the tables of the code, and a database that the code cannot work with is refused in one line."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from rows import finish_all, jobs, record, take_due
from sqlalchemy import Engine, create_engine, text

import db.migrations
from db.errors import WrongUse
from db.migrations import upgrade
from db.session import connect, current_revision, open_engine
from db.settings import Settings
from db.tables import REVISION, Base


def declared(thing: Any, _name: str | None, kind: str, *_: Any) -> bool:
    """All but foreign keys to images, which SQLite keeps: it could drop them only with a table written anew."""
    return kind != "foreign_key_constraint" or thing.elements[0].target_fullname != "images.id"


def test_the_migrations_make_the_tables_that_the_code_declares(engine: Engine) -> None:
    with engine.connect() as connection, warnings.catch_warnings():
        # SQLite cannot tell an index over part of the rows apart; those of jobs are of the same columns.
        warnings.filterwarnings("ignore", message=".*expression-based index.*")
        options = {"compare_type": True, "include_object": declared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_migration_makes_the_revision_that_the_code_needs() -> None:
    scripts = ScriptDirectory(str(db.migrations.__path__[0]))
    assert scripts.get_heads() == [REVISION]


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    assert current_revision(engine) == REVISION


def test_a_database_that_is_not_set_up_is_refused_with_the_remedy(settings: Settings) -> None:
    with pytest.raises(WrongUse, match="is not set up: run `smoothvote db upgrade`"):
        connect(settings)


@pytest.mark.parametrize(("revision", "remedy"), [("0000", "smoothvote db upgrade"), ("9999", "install the newer")])
def test_a_database_of_another_version_is_refused_with_the_remedy(
    engine: Engine, settings: Settings, revision: str, remedy: str
) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()
    with pytest.raises(WrongUse, match=remedy) as raised:
        connect(settings)
    assert revision in str(raised.value)
    assert "\n" not in str(raised.value)


def test_this_code_works_on_after_a_step_within_its_generation(engine: Engine, settings: Settings) -> None:
    """A step only adds; a migration that this code could not live with begins a new generation."""
    run_id = record(engine, [0] * 4)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE jobs ADD COLUMN heat FLOAT"))
        connection.execute(text("ALTER TABLE predictions ADD COLUMN entropy_ns FLOAT"))
        connection.execute(text("CREATE TABLE later_things (id INTEGER PRIMARY KEY)"))
        connection.execute(text("UPDATE alembic_version SET version_num = :next"), {"next": f"{int(REVISION) + 1:04}"})
    engine.dispose()
    later = connect(settings)
    take_due(later)
    finish_all(later, run_id)
    assert all(job.done_at for job in jobs(later, run_id))
    later.dispose()


def test_code_of_the_step_before_goes_on_beside_this_one(engine: Engine) -> None:
    """Its statements name no column that came with this step, so each of these has a default."""
    run_id = record(engine, [0] * 4)
    with engine.begin() as connection:
        kept = text("SELECT priority, paused_at FROM runs WHERE id = :run")
        assert connection.execute(kept, {"run": run_id}).one() == (0, None)
        minimal = "INSERT INTO workers (name, host, pid, device, version) VALUES ('w', 'h', 1, 'cpu', '0')"
        connection.execute(text(minimal))
        told = text("SELECT images, busy, memory FROM workers WHERE started_at = seen_at")
        assert connection.execute(told).one() == (0, 0, None)


def test_on_postgresql_no_row_looks_its_image_up(new_postgres: Callable[[], str]) -> None:
    engine = open_engine(Settings(database_url=new_postgres()))
    upgrade(engine)
    with engine.connect() as connection:
        named = text("SELECT conrelid::regclass::text FROM pg_constraint WHERE confrelid = 'images'::regclass")
        assert connection.scalars(named).all() == []
    engine.dispose()


def test_an_error_does_not_show_the_password() -> None:
    url = "postgresql://somebody:hunter2@127.0.0.1:1/nowhere"
    with pytest.raises(WrongUse, match=r"cannot reach the database at postgresql nowhere on 127\.0\.0\.1") as raised:
        connect(Settings(database_url=url))
    assert "hunter2" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://localhost/x",
        "nonsense",
        "postgresql+nodriver://localhost/x",
        "postgresql+psycopg2://localhost/x",
        "sqlite://",
        "postgresql://localhost:port/x",
    ],
)
def test_a_url_of_no_supported_database_is_refused(url: str) -> None:
    with pytest.raises(WrongUse, match="SMOOTHVOTE_DATABASE_URL"):
        open_engine(Settings(database_url=url))


@pytest.mark.parametrize(
    "url", ["postgresql://127.0.0.1:1/x?user=u&password=SECRET", "postgresql://u:SEC@RET@127.0.0.1:1/x"]
)
def test_an_error_shows_a_password_nowhere_in_the_url(url: str) -> None:
    with pytest.raises(WrongUse) as raised:
        connect(Settings(database_url=url))
    assert "SEC" not in str(raised.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("This is no database, and long enough to be recognised as none." * 20)
    with pytest.raises(WrongUse, match="file is not a database"):
        connect(Settings(database_url=f"sqlite:///{tmp_path / 'text.db'}"))


@pytest.mark.parametrize("name", ["a?b", "a%20b", "a b", "a#b"])
def test_the_home_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / name)
    settings.home.mkdir()
    engine = open_engine(settings)
    upgrade(engine)
    engine.dispose()
    assert (tmp_path / name / "smoothvote.db").exists()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_any_client_can_read_the_views(new_postgres: Callable[[], str]) -> None:
    url = new_postgres()
    engine = open_engine(Settings(database_url=url))
    upgrade(engine)
    engine.dispose()
    plain = create_engine(url)
    with plain.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM outcomes")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM levels")).scalar() == 0
    plain.dispose()
