"""A real Redis, a real PostgreSQL, a dispatcher and workers whose device is a stand-in; and what they all use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import click
from sqlalchemy import Engine, create_engine, func, insert, make_url, select, text

from db.recipe import make_recipe
from db.tables import Dataset, Job, Prediction, Run
from tests.servers import PostgresServer, RedisServer

HERE = Path(__file__).parent
#: Seconds that anything may take: to start a worker, to do a job.
PATIENCE = 120.0
#: Jobs on the queue: dispatchers of any age keep it full.
WINDOW = 1000
LEVELS = (0.0, 0.125, 0.25, 0.375)


class Busy(NamedTuple):
    """When a device computed a job, on the clock that all processes share."""

    begun: float
    ended: float


@dataclass(frozen=True)
class Used:
    """What all processes have used until a moment: seconds of CPU by part, transactions, and Redis's commands."""

    at: float
    cpu: dict[str, float]
    transactions: int
    commands: int


class Fleet:
    """The servers, and the processes of one checkout at a time. Each checkout has a database of its own.

    Args:
        folder: for all files; its path must be short enough for a socket.
        images: of the dataset.
        rate: of each device, in views a second; 0 takes no time.
        job_size: images of a job.
    """

    def __init__(self, folder: Path, *, images: int, rate: float, job_size: int) -> None:
        self.folder, self.images, self.rate, self.job_size = folder, images, rate, job_size
        for name in ("redis", "postgres"):
            (folder / name).mkdir()
        self.redis = RedisServer(folder / "redis")
        # Commits reach the disk, as they do in production.
        self.postgres = PostgresServer(folder / "postgres", "-c fsync=on -c max_connections=300 -c shared_buffers=1GB")
        self.environment = os.environ | {
            "SMOOTHVOTE_BROKER_URL": self.redis.url,
            "SMOOTHVOTE_DEVICE": "cpu",
            "SMOOTHVOTE_WINDOW": str(WINDOW),
            "STAND_IN_RATE": str(rate),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",
        }
        self.records: dict[Path, Engine] = {}
        self._numbers = count()
        self.trace = folder / "trace"
        #: The checkout whose processes run.
        self.code = HERE.parent
        self.workers: list[subprocess.Popen[bytes]] = []
        self.dispatcher: subprocess.Popen[bytes] | None = None

    # -- the record --------------------------------------------------------------------------------------------------

    @property
    def record(self) -> Engine:
        """The database of the checkout whose processes run. The checkout itself makes its tables."""
        if self.code not in self.records:
            name = f"record{len(self.records)}"
            with create_engine(self.postgres.url, isolation_level="AUTOCOMMIT").connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            self.records[self.code] = create_engine(make_url(self.postgres.url).set(database=name))
            self._command("db", "upgrade").wait()
            self._record_dataset()
        return self.records[self.code]

    def _record_dataset(self) -> None:
        row = {"name": "photos", "root": "/photos", "fingerprint": "f" * 64, "size": self.images, "found": self.images}
        with self.record.begin() as connection:
            dataset = connection.execute(insert(Dataset).values(row).returning(Dataset.id)).scalar_one()
            connection.execute(
                text(
                    "INSERT INTO images (dataset_id, position, path, label, bytes) SELECT :dataset, number,"
                    " 'n01440764/n01440764_' || number || '.JPEG', number % 1000, 110000"
                    " FROM generate_series(0, :images - 1) AS number"
                ),
                {"dataset": dataset, "images": self.images},
            )

    def record_run(self, jobs: int) -> str:
        """Records a run of so many jobs over the first images of the dataset; returns its id."""
        recipe = make_recipe(model="efficientnet_lite0", levels=LEVELS, seed=next(self._numbers))
        run = {"id": recipe.run_id("f" * 64), "name": "scale", "recipe": recipe.content()}
        with self.record.begin() as connection:
            connection.execute(insert(Run).values(**run, dataset_id=select(Dataset.id).scalar_subquery()))
            connection.execute(
                text(
                    "INSERT INTO jobs (run_id, first, last, copies_first, copies_last)"
                    " SELECT :run, number * :size, (number + 1) * :size - 1, 0, 0"
                    " FROM generate_series(0, :jobs - 1) AS number"
                ),
                {"run": run["id"], "size": self.job_size, "jobs": jobs},
            )
        with self.record.begin() as connection:
            connection.execute(text("ANALYZE"))
        return str(run["id"])

    def check(self, run_id: str, jobs: int) -> None:
        """Waits until a run is done, and counts its rows."""
        self.until(lambda: not self._count(Job.id, Job.run_id == run_id, Job.done_at.is_(None)), "the run to be done")
        rows, wanted = self._count(Prediction.image_id, Prediction.run_id == run_id), jobs * self.rows
        if rows != wanted:
            raise click.ClickException(f"run {run_id} has {rows} rows instead of {wanted}")

    @property
    def rows(self) -> int:
        """The rows of a job."""
        return self.job_size * len(LEVELS)

    def _count(self, *what: object) -> int:
        column, *where = what
        with self.record.begin() as connection:
            return int(connection.execute(select(func.count(column)).where(*where)).scalar_one())  # type: ignore[arg-type]

    # -- the processes -----------------------------------------------------------------------------------------------

    def start(self, code: Path, workers: int) -> float:
        """Starts a dispatcher and workers of a checkout; returns how long it took until all waited for a message."""
        self.code = code
        _ = self.record
        self.redis.client.flushall()
        self.trace = self.folder / f"trace{next(self._numbers)}"
        self.trace.mkdir()
        self.dispatcher = self._command("dispatch")
        began = time.monotonic()
        for _ in range(workers):
            self.add_worker()
        self.until(lambda: self.redis.client.info("clients")["blocked_clients"] >= workers, "the workers to be ready")
        return time.monotonic() - began

    def add_worker(self) -> None:
        self.workers.append(self._command("worker", "--processes", "1"))

    def _command(self, *words: str) -> subprocess.Popen[bytes]:
        environment = self.environment | {
            "SMOOTHVOTE_DATABASE_URL": self.record.url.render_as_string(hide_password=False),
            "PYTHONPATH": f"{HERE / 'stand_in'}{os.pathsep}{self.code}",
            "STAND_IN_TRACE": str(self.trace),
        }
        with (self.folder / f"{words[0]}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "smoothvote", *words], cwd=self.code, env=environment, stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Ends the dispatcher and the workers."""
        processes = [*self.workers, *([self.dispatcher] if self.dispatcher else [])]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
        self.workers, self.dispatcher = [], None

    def end(self) -> None:
        """Ends everything."""
        for process in [*self.workers, *([self.dispatcher] if self.dispatcher else [])]:
            process.kill()
        for record in self.records.values():
            record.dispose()
        self.redis.end()
        self.postgres.end()

    def until(self, what: Callable[[], object], said: str) -> None:
        """Waits until something is so, as long as something happens.

        Raises:
            click.ClickException: if nothing does.
        """
        latest, since = -1, time.monotonic()
        while not what():
            if (done := sum(map(len, self.busy().values()))) != latest:
                latest, since = done, time.monotonic()
            if time.monotonic() - since > PATIENCE:
                raise click.ClickException(f"waited {PATIENCE:.0f} s for {said}: see the logs in {self.folder}")
            time.sleep(0.05)

    # -- what they did and used --------------------------------------------------------------------------------------

    def busy(self) -> dict[int, list[Busy]]:
        """When each device computed, by the id of its process."""
        files = list(self.trace.iterdir()) if self.trace.exists() else []
        # A line that is being written has no end yet.
        lines = {int(file.name): file.read_text().rpartition("\n")[0].splitlines() for file in files}
        return {pid: [Busy(*map(float, line.split())) for line in of_one] for pid, of_one in lines.items()}

    def used(self) -> Used:
        """What the processes of each part have used so far."""
        with self.record.connect() as connection:
            backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            done = connection.execute(
                text("SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()")
            ).scalar_one()
        client = self.redis.client
        roots = {
            "workers": [worker.pid for worker in self.workers],
            "dispatcher": [self.dispatcher.pid] if self.dispatcher else [],
            "redis": [client.info("server")["process_id"]],
            "postgres": [parent_of(backend)],
        }
        cpu = {part: sum(cpu_of(pid) for root in pids for pid in tree(root)) for part, pids in roots.items()}
        return Used(time.monotonic(), cpu, done, client.info("stats")["total_commands_processed"])


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from tree(int(child))


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, and of those of its children that have ended."""
    return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of a process's line, from its state on: its name may hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
