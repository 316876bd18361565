"""A place of work: a Redis, a database, and worker processes that come and go. Their model is a stub."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rows import RECIPE
from servers import RedisServer
from sqlalchemy import Engine, select

from db import submission
from db.migrations import upgrade
from db.session import connect, open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from db.tables import Failure, Image, Job, Prediction
from producer.broker import Broker
from producer.dispatch import dispatch

ROOT = Path(__file__).parent.parent


class Place:
    """Records jobs, sends them, starts workers, and tells what they did.

    Args:
        folder: for the database, the log of all workers, and the faults that they are to meet.
        socket_folder: for Redis's socket, whose path must be short.
    """

    def __init__(self, folder: Path, socket_folder: Path) -> None:
        self.folder = folder
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.redis = RedisServer(socket_folder)
        url = f"sqlite:///{folder / 'record.db'}"
        self.settings = Settings(broker_url=self.redis.url, database_url=url, lost_after=2)
        engine = open_engine(self.settings)
        upgrade(engine)
        engine.dispose()
        self.engine: Engine = connect(self.settings)
        self.broker = Broker(self.settings)
        self._log = folder / "log"
        self._environment = os.environ | {
            "SMOOTHVOTE_BROKER_URL": self.redis.url, "SMOOTHVOTE_DATABASE_URL": url, "FAULTS": str(self.faults),
        }  # fmt: skip

    def record(self, names: list[str], *, job_size: int) -> str:
        """Records a run over images of these names; returns its id."""
        run_id = RECIPE.run_id("f" * 64)
        entries = [Entry(path=name, label=None, bytes=None) for name in names]
        with writing(self.engine) as session:
            dataset_id = submission.record_dataset(
                session, name="d", root="/", fingerprint="f" * 64, found=len(names), entries=entries
            )
            submission.record_run(
                session, run_id=run_id, dataset_id=dataset_id, name="r", recipe=RECIPE, job_size=job_size
            )
        return run_id

    @contextmanager
    def worker(self, *flags: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker, the leader of a process group of its own; killed at the end of the block with its children."""
        with self._log.open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.stub", *flags], cwd=ROOT, env=self._environment | environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def until(self, what: Callable[[], object], seconds: float = 60, *, sending: bool = True) -> None:
        """Waits until something is so, and dispatches due jobs meanwhile."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.log()
            if sending:
                self.send()
            time.sleep(0.05)

    def send(self) -> int:
        """Sends the jobs that are due; returns how many."""
        return dispatch(self.engine, self.broker, self.settings)

    def done(self) -> bool:
        with reading(self.engine) as session:
            return not session.scalars(select(Job.id).where(Job.done_at.is_(None))).all()

    def predicted(self) -> set[str]:
        """The images that have exactly one prediction at each level."""
        with reading(self.engine) as session:
            found = session.scalars(select(Image.path).join(Prediction, Prediction.image_id == Image.id)).all()
        assert all(found.count(path) == len(RECIPE.levels) for path in found)
        return set(found)

    def failed(self) -> dict[str, tuple[str, str]]:
        with reading(self.engine) as session:
            rows = session.execute(
                select(Image.path, Failure.code, Failure.message).join(Failure, Failure.image_id == Image.id)
            )
            return {row.path: (row.code, row.message) for row in rows}

    def trace(self) -> str:
        """What the stub wrote down: where it began a job, ended it, or killed itself."""
        trace = self.faults / "trace"
        return trace.read_text() if trace.exists() else ""

    def begun(self) -> int:
        """How many times a worker began a job."""
        return self.trace().count('"begin"')

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def end(self) -> None:
        self.engine.dispose()
        self.broker.close()
        self.redis.end()
