"""Reports over millions of predictions: `python -m benchmarks.report [--predictions N]`.

Fills a database with made-up rows of a complete run of four levels, on SQLite and on PostgreSQL. Then it times a plain
GROUP BY for one rate, the counting of all that a report holds, the storing of the counts, and the command `smoothvote
report`, which must say the same as the counting.

With --incomplete the run's last job is still to be done. Timed are the counting of what is done, as the dispatcher does
it, and then a look of `watch`, the page of runs, and the commands `status` and `report`, from the start of Python on.

With --upgrade the database has an earlier revision, as the version of that time left it. Timed are `smoothvote db
upgrade`, the first `smoothvote report`, which counts again, and the second, which reads the stored counts and must say
the same.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, insert, text
from starlette.testclient import TestClient

from db.errors import DONE, INCOMPLETE
from db.migrations import upgrade
from db.recipe import make_recipe
from db.runs import find_run, progress
from db.session import open_engine, reading, writing
from db.settings import load_settings
from db.summaries import summarise, summarise_so_far
from db.tables import Dataset
from report.data import to_json
from report.report import report
from tests.older import FORMER, migrate_to_older
from tests.servers import postgres_server
from web.app import make_app
from web.record import Record

LEVELS = (0.0, 0.125, 0.25, 0.375)
RECIPE = make_recipe(model="efficientnet_lite0", levels=LEVELS)
RUN = RECIPE.run_id("many")
JOB_SIZE = 64


@click.command()
@click.option("--predictions", type=click.IntRange(1000), default=10_000_000, show_default=True)
@click.option(
    "--database", type=click.Choice(["sqlite", "postgresql"]), multiple=True, default=["sqlite", "postgresql"]
)
@click.option("--incomplete", is_flag=True, help="Time what shows a run that is worked on.")
@click.option("--upgrade", "older", type=click.Choice(sorted(FORMER)), help="Time the upgrade from there instead.")
def main(predictions: int, database: tuple[str, ...], incomplete: bool, older: str | None) -> None:
    """Time reports over many predictions."""
    time_all, columns = time_reports, ("one GROUP BY, s", "count all, s", "store, s", "`report`, s")
    if incomplete:
        time_all, columns = time_open, ("count so far, s", "look, s", "page, s", "`status`, s", "`report`, s")
    if older:
        time_all, columns = time_upgrade, ("`db upgrade`, s", "first `report`, s", "second, s")
    table = Table("database", "rows", "fill, s", *columns, "same")
    for name in database:
        with tempfile.TemporaryDirectory() as folder, empty_database(name, Path(folder)) as (engine, environment):
            if older:
                migrate_to_older(engine, older)
            else:
                upgrade(engine)
            began = time.perf_counter()
            fill(engine, predictions // len(LEVELS), older)
            filled = time.perf_counter() - began
            if incomplete:
                reopen(engine)
            took, rows, same = time_all(engine, environment)
            table.add_row(name, str(rows), f"{filled:.0f}", *(f"{seconds:.2f}" for seconds in took), str(same))
    Console(width=120).print(table)


def time_reports(engine: Engine, environment: dict[str, str]) -> tuple[list[float], int, bool]:
    """Seconds of each step; the number of rows that were counted; whether the command says the same."""
    times = [time.perf_counter()]
    with reading(engine) as session:
        run = find_run(session, RUN)
        session.execute(text(PLAIN), {"run": RUN}).all()
        times.append(time.perf_counter())
        counted = report(session, run, stored=False)
    times.append(time.perf_counter())
    summarise(engine, run)
    times.append(time.perf_counter())
    took, said = median(["report", RUN, "--format", "json"], environment)
    same = json.loads(said) == json.loads(json.dumps(to_json(counted)))
    steps = [after - before for before, after in pairwise(times)]
    return [*steps, took], sum(one.predicted for one in counted.levels), same


def reopen(engine: Engine) -> None:
    """Takes the results of the last job back, as if it were still to be done."""
    with writing(engine) as session:
        last = "SELECT max(id) FROM jobs"
        first = session.scalar(text(f"SELECT first FROM jobs WHERE id = ({last})"))
        session.execute(text(f"UPDATE jobs SET done_at = NULL WHERE id = ({last})"))
        images = "SELECT id FROM images WHERE position >= :first"
        session.execute(text(f"DELETE FROM predictions WHERE image_id IN ({images})"), {"first": first})


def time_open(engine: Engine, environment: dict[str, str]) -> tuple[list[float], int, bool]:
    """Seconds of each step; the number of rows that were reported; whether the report says the same as counts anew."""
    with reading(engine) as session:
        run = find_run(session, RUN)
    times = [time.perf_counter()]
    summarise_so_far(engine, run)
    times.append(time.perf_counter())
    with reading(engine) as session:
        progress(session, run)
    times.append(time.perf_counter())
    record = Record(load_settings(database_url=environment["SMOOTHVOTE_DATABASE_URL"]))
    with TestClient(make_app(record, None), base_url="http://127.0.0.1:8765") as pages:
        pages.get("/")  # connects
        times.append(time.perf_counter())
        assert pages.get("/").status_code == 200
        times.append(time.perf_counter())
    record.close()
    took = [after - before for before, after in pairwise(times)]
    del took[2]
    status, _ = median(["status", RUN], environment, code=INCOMPLETE)
    reported, said = median(["report", RUN, "--format", "json"], environment, code=INCOMPLETE)
    with reading(engine) as session:
        counted = report(session, run, stored=False)
    same = json.loads(said) == json.loads(json.dumps(to_json(counted)))
    return [*took, status, reported], sum(one.predicted for one in counted.levels), same


def time_upgrade(engine: Engine, environment: dict[str, str]) -> tuple[list[float], int, bool]:
    """Seconds of the upgrade and of two reports; the number of rows that were reported; whether both say the same."""
    engine.dispose()
    upgraded, _ = timed(["db", "upgrade"], environment)
    first, counted = timed(["report", RUN, "--format", "json"], environment)
    second, read = timed(["report", RUN, "--format", "json"], environment)
    rows = sum(level["predicted"] for level in json.loads(counted)["levels"])
    return [upgraded, first, second], rows, counted == read


#: A query by hand for one rate.
PLAIN = """
SELECT p.level, count(*), sum(CASE WHEN p.label_maj = i.label THEN 1 ELSE 0 END)
FROM predictions p JOIN images i ON i.id = p.image_id WHERE p.run_id = :run GROUP BY p.level
"""


@contextmanager
def empty_database(name: str, folder: Path) -> Iterator[tuple[Engine, dict[str, str]]]:
    """An engine over a new database, and the environment of a command that uses it."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'record.db'}"
        if name == "postgresql":
            folder.chmod(0o755)  # if this process is root, the server runs as another user
            (folder / "postgres").mkdir()
            url = stack.enter_context(postgres_server(folder / "postgres"))
        engine = open_engine(load_settings(database_url=url))
        stack.callback(engine.dispose)
        yield engine, os.environ | {"SMOOTHVOTE_DATABASE_URL": url}


def fill(engine: Engine, images: int, older: str | None) -> None:
    """Stores a complete run over so many images. Its rows look random, and are the same every time.

    Args:
        engine: over a database without rows.
        images: how many.
        older: the database's revision, if it is not this version's.
    """
    level = FORMER[older].get("level", "level") if older else "level"
    run = {"id": RUN, "dataset_id": 1, "name": "many", "recipe": json.dumps(RECIPE.content())}
    with writing(engine) as session:
        row = {"id": 1, "name": "many", "root": "/many", "fingerprint": "many", "size": images, "found": images}
        session.execute(insert(Dataset).values(row))
        # Not as the code's tables have it: an earlier revision lacks some columns.
        session.execute(
            text("INSERT INTO runs (id, dataset_id, name, recipe) VALUES (:id, :dataset_id, :name, :recipe)"), run
        )
        session.execute(text(IMAGES), {"images": images})
        session.execute(text(OLDER_JOBS if older else JOBS), {"run": RUN, "images": images, "size": JOB_SIZE})
        for value in LEVELS:
            seed = int(1000 * value) + 1
            session.execute(text(PREDICTIONS.format(level=level)), {"run": RUN, "level": value, "seed": seed})
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as the server does by itself, a little later


IMAGES = """
INSERT INTO images (dataset_id, position, path, label, bytes)
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :images)
SELECT 1, n, n || '.jpg', n % 1000, 100000 FROM numbers
"""

OLDER_JOBS = """
INSERT INTO jobs (run_id, first, last, done_at)
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + :size FROM numbers WHERE n + :size < :images)
SELECT :run, n, CASE WHEN n + :size < :images THEN n + :size ELSE :images END - 1, CURRENT_TIMESTAMP FROM numbers
"""
JOBS = OLDER_JOBS.replace("done_at)", "done_at, copies_first, copies_last)").replace(
    "TIMESTAMP FROM", "TIMESTAMP, 0, 0 FROM"
)


def _chance(number: int) -> str:
    """A number in [0, 1) that depends on the image, the level and this number."""
    return f"((id * 7919 + :seed * 104729 + {number}) * 48271 % 2147483647 % 1000003) / 1000003.0"


def _label(number: int, right: str) -> str:
    return f"CASE WHEN {_chance(number)} < {right} THEN label ELSE (label + 1 + id * {number} % 7) % 1000 END"


PREDICTIONS = f"""
INSERT INTO predictions (run_id, image_id, {{level}}, label_ns, confidence_ns, label_ss, confidence_ss,
                         label_ds, confidence_ds, label_maj)
SELECT run_id, id, level, ns, confidence_ns, ss, confidence_ss, ds, confidence_ds,
       CASE WHEN ns = ss OR ns = ds THEN ns WHEN ss = ds THEN ss END
FROM (SELECT CAST(:run AS VARCHAR) AS run_id, id, CAST(:level AS DOUBLE PRECISION) AS level,
             {_label(11, "0.9 - :level")} AS ns, {_chance(12)} AS confidence_ns,
             {_label(13, "0.8 - :level")} AS ss, {_chance(14)} AS confidence_ss,
             {_label(17, "0.7 - :level")} AS ds, {_chance(18)} AS confidence_ds
      FROM images) AS views
"""


def timed(arguments: list[str], environment: dict[str, str], code: int = DONE) -> tuple[float, str]:
    """Seconds that a command takes, from the start of Python on, and what it prints; it must end with this code."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "smoothvote", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return time.perf_counter() - began, done.stdout


def median(arguments: list[str], environment: dict[str, str], code: int = DONE) -> tuple[float, str]:
    """The median of five times, and what the command prints, which must be the same each time."""
    took, said = zip(*(timed(arguments, environment, code) for _ in range(5)), strict=True)
    assert len(set(said)) == 1
    return statistics.median(took), said[0]


if __name__ == "__main__":
    main()
