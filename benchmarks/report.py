"""A report over millions of predictions: `python -m benchmarks.report [--predictions N]`.

Fills a record with made-up rows, as a complete run of four levels, on SQLite and on PostgreSQL. Then: the plain
GROUP BY of one rate, counting all that a report holds, storing it, and the command `smoothvote report`, which must say
the same.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from db.migrations import upgrade
from db.recipe import make_recipe
from db.runs import RunInfo, find_run
from db.session import open_engine, reading, writing
from db.settings import load_settings
from db.store import Entry, record_dataset, record_run
from db.summaries import summarise
from report.data import to_json
from report.report import report
from tests.servers import postgres_server

LEVELS = (0.0, 0.125, 0.25, 0.375)
JOB_SIZE = 64


@click.command()
@click.option("--predictions", type=click.IntRange(1000), default=10_000_000, show_default=True)
@click.option(
    "--database", type=click.Choice(["sqlite", "postgresql"]), multiple=True, default=["sqlite", "postgresql"]
)
def main(predictions: int, database: tuple[str, ...]) -> None:
    """Time reports over many predictions."""
    table = Table("database", "rows", "fill, s", "one GROUP BY, s", "count all, s", "store, s", "`report`, s", "same")
    for name in database:
        with tempfile.TemporaryDirectory() as folder, record(name, Path(folder)) as (engine, environment):
            began = time.perf_counter()
            run = fill(engine, predictions // len(LEVELS))
            filled = time.perf_counter()
            with reading(engine) as session:
                session.execute(text(PLAIN), {"run": run.id}).all()
                grouped = time.perf_counter()
                counted = report(session, run, stored=False)
            done = time.perf_counter()
            summarise(engine, run)
            stored = time.perf_counter()
            commands = [timed(["report", run.id, "--format", "json"], environment) for _ in range(5)]
            same = all(json.loads(said) == json.loads(json.dumps(to_json(counted))) for _, said in commands)
            took = [grouped - filled, done - grouped, stored - done, sorted(took for took, _ in commands)[2]]
            rows = str(sum(level.predicted for level in counted.levels))
            table.add_row(name, rows, f"{filled - began:.0f}", *(f"{seconds:.2f}" for seconds in took), str(same))
    Console(width=120).print(table)


#: What somebody would write by hand for one rate.
PLAIN = """
SELECT p.sigma, count(*), sum(CASE WHEN p.label_maj = i.label THEN 1 ELSE 0 END)
FROM predictions p JOIN images i ON i.id = p.image_id WHERE p.run_id = :run GROUP BY p.sigma
"""


@contextmanager
def record(name: str, folder: Path) -> Iterator[tuple[Engine, dict[str, str]]]:
    """An empty record, and the environment of a command that reads it."""
    with ExitStack() as stack:
        url = f"sqlite:///{folder / 'record.db'}"
        if name == "postgresql":
            folder.chmod(0o755)  # the server is another user's, where this one is root
            (folder / "postgres").mkdir()
            url = stack.enter_context(postgres_server(folder / "postgres"))
        engine = open_engine(load_settings(database_url=url))
        stack.callback(engine.dispose)
        upgrade(engine)
        yield engine, os.environ | {"SMOOTHVOTE_DATABASE_URL": url}


def fill(engine: Engine, images: int) -> RunInfo:
    """A complete run over so many images: its rows look random, and are always the same."""
    recipe = make_recipe(model="efficientnet_lite0", levels=LEVELS)
    run_id = recipe.run_id("many")
    first = Entry(path="0.jpg", label=0, bytes=100_000)
    with writing(engine) as session:
        dataset = record_dataset(session, name="many", root="/many", fingerprint="many", found=images, entries=[first])
        said = {"dataset": dataset, "images": images, "run": run_id}
        for statement in IMAGES.split(";"):
            session.execute(text(statement), said)
        record_run(session, run_id=run_id, dataset_id=dataset, name="many", recipe=recipe, job_size=JOB_SIZE)
        session.execute(text("UPDATE jobs SET done_at = CURRENT_TIMESTAMP"))
        for sigma in LEVELS:
            session.execute(text(PREDICTIONS), said | {"sigma": sigma, "seed": int(1000 * sigma) + 1})
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))  # as the server does by itself, a little later
    with reading(engine) as session:
        return find_run(session, run_id)


IMAGES = """
INSERT INTO images (dataset_id, position, path, label, bytes)
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :images)
SELECT :dataset, n, n || '.jpg', n % 1000, 100000 FROM numbers;
UPDATE datasets SET size = :images
"""


def _chance(number: int) -> str:
    """A number in [0, 1) of an image, a level and this number."""
    return f"((id * 7919 + :seed * 104729 + {number}) * 48271 % 2147483647 % 1000003) / 1000003.0"


def _label(number: int, right: str) -> str:
    return f"CASE WHEN {_chance(number)} < {right} THEN label ELSE (label + 1 + id * {number} % 7) % 1000 END"


PREDICTIONS = f"""
INSERT INTO predictions
SELECT run_id, id, sigma, ns, confidence_ns, ss, confidence_ss, ds, confidence_ds,
       CASE WHEN ns = ss OR ns = ds THEN ns WHEN ss = ds THEN ss END
FROM (SELECT CAST(:run AS VARCHAR) AS run_id, id, CAST(:sigma AS DOUBLE PRECISION) AS sigma,
             {_label(11, "0.9 - :sigma")} AS ns, {_chance(12)} AS confidence_ns,
             {_label(13, "0.8 - :sigma")} AS ss, {_chance(14)} AS confidence_ss,
             {_label(17, "0.7 - :sigma")} AS ds, {_chance(18)} AS confidence_ds
      FROM images) AS views
"""


def timed(arguments: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Seconds that a command takes, start and all, and what it prints."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "smoothvote", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, done.stdout


if __name__ == "__main__":
    main()
