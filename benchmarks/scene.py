"""The scene of a fault storm: real servers, runs, and workers and dispatchers that are started again when they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, func, make_url, select, text

from benchmarks.known import POISON, answer
from benchmarks.proxy import Proxy
from db.migrations import upgrade
from db.outage import outlast
from db.recipe import make_recipe
from db.session import connect, open_engine, reading
from db.settings import load_settings
from db.store import Entry
from db.tables import Failure, Image, Job, Prediction
from producer.dataset import Dataset
from producer.job_size import JobSize
from producer.submit import submit
from tests.servers import PostgresServer, RedisServer, free_port
from worker.vote import majority

WORKERS, DISPATCHERS = 3, 2
LEVELS = (0.0, 0.125, 0.25, 0.375)
IMAGES, JOB_SIZE = 240, 8

#: Short waits, because a storm lasts a minute.
HASTY = {
    "SMOOTHVOTE_LEASE": "4",
    "SMOOTHVOTE_LOST_AFTER": "3",
    "SMOOTHVOTE_GRACE": "2",
    "SMOOTHVOTE_STALL": "10",
    "SMOOTHVOTE_WINDOW": "24",
}


@dataclass
class Verdict:
    """The rows that the database must hold, and how those that it holds differ."""

    expected: int
    missing: int
    duplicate: int
    wrong: int
    predictions: int
    jobs: int


class Scene:
    """The servers, processes and runs of one seed."""

    def __init__(self, folder: Path, database: str, *, control: str | None = None) -> None:
        self.folder, self.database, self.control = folder, database, control
        self.faults = folder / "faults"
        self.faults.mkdir()
        port, self.link_port = free_port(), free_port()
        (folder / "redis").mkdir()
        self.redis = RedisServer(folder / "redis", "--maxmemory-policy", "noeviction", port=port)
        self.proxy = Proxy(self.link_port, port)
        self.postgres = None
        url = f"sqlite:///{folder / 'record.db'}"
        if database == "postgresql":
            (folder / "postgres").mkdir()
            self.postgres = PostgresServer(folder / "postgres")
            self.as_admin("CREATE ROLE worker LOGIN", "CREATE DATABASE record OWNER worker")
            made = make_url(self.postgres.url).set(username="worker", database="record")
            url = made.render_as_string(hide_password=False)
        self.environment = os.environ | HASTY | {
            "SMOOTHVOTE_DATABASE_URL": url,
            "SMOOTHVOTE_BROKER_URL": f"redis://127.0.0.1:{self.link_port}/0",
            "FAULTS": str(self.faults),
            "CONTROL": control or "",
            "PYTHONWARNINGS": "ignore",
        }  # fmt: skip
        self.settings = load_settings(database_url=url)
        engine = open_engine(self.settings)
        upgrade(engine)
        engine.dispose()
        self.engine: Engine = connect(self.settings)
        self.runs: list[str] = []
        self.workers: list[subprocess.Popen[bytes]] = []
        self.dispatchers: list[subprocess.Popen[bytes]] = []
        self.ending = False

    # -- what people and supervisors do ----------------------------------------------------------------------------

    def keep_up(self) -> None:
        """Starts processes again that have ended, as compose, systemd or Kubernetes do."""
        for crew, count, module in (
            (self.workers, WORKERS, ["benchmarks.stub"]),
            (self.dispatchers, 0 if self.control == "no-sweeper" else DISPATCHERS, ["smoothvote", "dispatch"]),
        ):
            crew[:] = [process for process in crew if process.poll() is None]
            while len(crew) < count:
                crew.append(self._start(*module))

    def _start(self, *module: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{module[0]}.log").open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self, seconds: float) -> None:
        """Waits, and keeps the processes running."""
        until = time.monotonic() + seconds
        while (rest := until - time.monotonic()) > 0:
            self.keep_up()
            time.sleep(min(0.2, rest))

    def children(self, worker: subprocess.Popen[bytes]) -> list[int]:
        """The ids of a worker's child processes, which do its jobs."""
        with suppress(OSError):
            tasks = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
            return [int(pid) for pid in tasks if b"stub_process" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return []

    def submit(self) -> str:
        """Submits one more run, in which one image ends its worker; returns its id."""
        number = len(self.runs)
        names = [f"run{number}/{position}" for position in range(IMAGES)]
        if not self.control:
            names[number % IMAGES] += POISON
        dataset = Dataset(
            name="storm", root="/nowhere", fingerprint=f"{number}", size=IMAGES, found=IMAGES, labelled=0,
            entries=[Entry(path=name, label=None, bytes=None) for name in names],
        )  # fmt: skip
        recipe = make_recipe(model="efficientnet_lite0", levels=LEVELS)
        self.runs.append(submit(self.engine, recipe, dataset, job_size=JobSize(JOB_SIZE)).run_id)
        return self.runs[-1]

    def as_admin(self, *statements: str) -> None:
        """Executes statements as the administrator of the PostgreSQL server."""
        assert self.postgres
        engine = create_engine(self.postgres.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()

    # -- what the database holds -----------------------------------------------------------------------------------

    def open_jobs(self) -> int:
        """The number of jobs that are not done. A fault may have cut this process's connection, too."""

        def count() -> int:
            with reading(self.engine) as session:
                return session.scalars(select(func.count()).where(Job.done_at.is_(None))).one()

        return outlast(count, lambda why: None)

    def done(self) -> dict[int, float]:
        """When each job was done, in seconds; without jobs of images that end workers, which take many attempts."""
        poisoned = {run_id: number % IMAGES for number, run_id in enumerate(self.runs)}
        with reading(self.engine) as session:
            jobs = session.scalars(select(Job).where(Job.done_at.is_not(None))).all()
        return {
            job.id: job.done_at.timestamp()
            for job in jobs
            if job.done_at and job.first // JOB_SIZE != poisoned[job.run_id] // JOB_SIZE
        }

    def trace(self) -> list[dict[str, Any]]:
        """The events that the workers wrote down, in order of time."""
        file = self.faults / "trace"
        lines = file.read_text().splitlines() if file.exists() else []
        return sorted((json.loads(line) for line in lines), key=lambda event: event["at"])

    def verdict(self) -> Verdict:
        """Compares every row with the known answer."""
        table = "predictions_plain" if self.control == "plain-insert" else "predictions"
        with reading(self.engine) as session:
            images = {row.id: row.path for row in session.execute(select(Image.id, Image.path))}
            if self.control == "plain-insert":
                rows = session.execute(text(f"SELECT * FROM {table}")).all()
            else:
                columns = (Prediction.image_id, Prediction.level, Prediction.label_ns, Prediction.label_ss)
                rows = session.execute(select(*columns, Prediction.label_ds, Prediction.label_maj)).all()
            failures = Counter(map(tuple, session.execute(select(Failure.image_id, Failure.code)).all()))
            jobs = session.scalars(select(func.count(Job.id))).one()
        found = Counter((row.image_id, row.level) for row in rows)
        poisoned = {image for image, path in images.items() if POISON in path}
        due = {(image, level) for image in images.keys() - poisoned for level in LEVELS}
        wrong = sum(
            (row.label_ns, row.label_ss, row.label_ds, row.label_maj)
            != (*(views := answer(images[row.image_id], row.level)), majority(*views))
            for row in rows
        )
        wrong += len(found.keys() - due) + sum(
            (failures - Counter({(image, "worker_failed"): 1 for image in poisoned})).values()
        )
        lost = [image for image in poisoned if (image, "worker_failed") not in failures]
        return Verdict(
            expected=len(due) + len(poisoned),
            missing=len(due - found.keys()) + len(lost),
            duplicate=sum(found.values()) - len(found),
            wrong=wrong,
            predictions=len(found),
            jobs=jobs,
        )

    def end(self) -> None:
        """Ends all processes and servers."""
        for process in (*self.workers, *self.dispatchers):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.engine.dispose()
        self.proxy.end()
        self.redis.end()
        if self.postgres:
            self.postgres.end()
