"""Submitting many images: `python -m benchmarks.bulk [--images N] [--layout folder|flat|manifest] [--against DIR]`.

Makes a dataset of empty files, or a manifest of files that are not there, and submits it to a real PostgreSQL and a
real Redis: a first time, when all is recorded, and again, when only the fingerprint is computed. Timed is the command
`smoothvote submit`, from the start of Python on; its memory is the most that it had resident. `--against` measures
another checkout on the same files, in turn.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
import redis
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from tests.servers import RedisServer, postgres_server

HERE = Path(__file__).parent.parent
CLASSES = 1000
#: A model whose recipe needs no file: nothing is predicted.
MODEL = "efficientnet_lite0"


class Cost(NamedTuple):
    """What a command took: seconds, those of its processor, and the most bytes that it had resident."""

    seconds: float
    cpu: float
    memory: int


@click.command()
@click.option("--images", type=click.IntRange(CLASSES), default=1_000_000, show_default=True)
@click.option("--layout", type=click.Choice(["folder", "flat", "manifest"]), default="folder", show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), help="Where the files go; they are kept. [default: a new one]"
)
@click.option("--against", type=click.Path(exists=True, path_type=Path), help="Another checkout to measure in turn.")
@click.option("--sqlite", is_flag=True, help="Record in SQLite instead.")
def main(images: int, layout: str, folder: Path | None, against: Path | None, sqlite: bool) -> None:
    """Time the submission of many images."""
    table = Table("checkout", "images", "first, s", "CPU, s", "MB", "again, s", "CPU, s", "MB", "Redis, MB", "rows")
    with tempfile.TemporaryDirectory(prefix="smoothvote-bulk-") as temporary:
        place = (folder or Path(temporary)) / f"{layout}-{images}"
        dataset = make(place, layout, images)
        for name, checkout in {"other": against, "this": HERE}.items():
            if checkout:
                first, again, kept, rows = measure(checkout.resolve(), dataset, sqlite=sqlite)
                costs = [cell for cost in (first, again) for cell in (cost.seconds, cost.cpu, cost.memory / 1e6)]
                table.add_row(name, str(images), *(f"{cell:.1f}" for cell in (*costs, kept / 1e6)), str(rows))
    Console(width=120).print(table)


def make(place: Path, layout: str, images: int) -> Path:
    """The dataset of a layout: a folder of class folders, one folder, or a manifest. What is there is used again."""
    if layout == "manifest":
        file = place.with_suffix(".csv")
        if not file.exists():
            rows = (f"{number % CLASSES}/{number:08d}.jpg,{number % CLASSES}\n" for number in range(images))
            with file.open("w") as opened:
                opened.write("file_name,label\n")
                opened.writelines(rows)
        return file
    if not place.exists():
        for label in range(CLASSES) if layout == "folder" else (0,):
            (place / str(label)).mkdir(parents=True)
        for number in range(images):
            label = number % CLASSES if layout == "folder" else 0
            os.close(os.open(place / str(label) / f"{number:08d}.jpg", os.O_CREAT | os.O_WRONLY))
    return place


def measure(checkout: Path, dataset: Path, *, sqlite: bool) -> tuple[Cost, Cost, int, int]:
    """Submits a dataset twice: what each took, the bytes that Redis held afterwards, and the images recorded."""
    with servers(sqlite=sqlite) as (database, broker, client):
        environment = os.environ | {
            "PYTHONPATH": str(checkout), "SMOOTHVOTE_DATABASE_URL": database, "SMOOTHVOTE_BROKER_URL": broker,
        }  # fmt: skip
        cost_of(checkout, environment, "db", "upgrade")
        first, again = (
            cost_of(checkout, environment, "submit", str(dataset), "--model", MODEL) for _ in ("first", "again")
        )
        info = client.info("memory")
        engine = create_engine(database)
        with engine.connect() as connection:
            rows = connection.scalar(text("SELECT count(*) FROM images"))
        engine.dispose()
    return first, again, int(info["used_memory_peak"]), int(rows or 0)


def cost_of(checkout: Path, environment: dict[str, str], *words: str) -> Cost:
    """Runs a command of a checkout, and tells what it took."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "smoothvote", *words]
    child = subprocess.Popen(command, cwd=checkout, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {child.returncode}")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)


@contextmanager
def servers(*, sqlite: bool) -> Iterator[tuple[str, str, "redis.Redis"]]:
    """The URLs of a new database and a new Redis, and a client of that Redis."""
    with tempfile.TemporaryDirectory(prefix="smoothvote-bulk-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # if this process is root, the server runs as another user
        (folder / "postgres").mkdir()
        queue = RedisServer(folder)
        try:
            if sqlite:
                yield f"sqlite:///{folder / 'record.db'}", queue.url, queue.client
            else:
                with postgres_server(folder / "postgres") as url:
                    yield url, queue.url, queue.client
        finally:
            queue.end()


if __name__ == "__main__":
    main()
