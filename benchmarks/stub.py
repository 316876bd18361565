"""A worker of known answers, for the fault storm: all of a worker but its pixels, and it dies where it is told to.

    python -m benchmarks.stub         a `smoothvote worker` whose model is a sum over the image's path

In the folder that FAULTS names, whoever finds a file with the name of the point it has come to takes that file away
and does what is in it: so one worker dies of it, at that point, and no other.
"""

import json
import os
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from threading import Lock

from sqlalchemy import Connection, Engine, event, text

from benchmarks.known import HANG, POISON, answer
from db import store
from db.found import Computer, Counted, Failed, Found, Predicted
from db.outage import outlast
from db.recipe import Preprocessing
from db.session import writing
from db.settings import load_settings
from db.store import Claim, Work
from worker.stall import alive
from worker.stopwatch import Stopwatch
from worker.turns import in_turn
from worker.vote import majority
from worker.worker import BrokenProcess, Pinned, Worker

FAULTS = Path(os.environ.get("FAULTS", "."))
#: A negative control: which of the promises is broken.
CONTROL = os.environ.get("CONTROL")
#: Seconds a job takes, however many images it has.
JOB_TAKES = float(os.environ.get("JOB_TAKES", "0.3"))
PREPROCESSING = Preprocessing(256, 224, "bilinear", True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


#: The job that this thread has in hand.
JOB: ContextVar[int] = ContextVar("job")
#: A process has one device, and computes one job at a time.
DEVICE = Lock()


class Stub:
    """Computes known answers."""

    @contextmanager
    def loaded(self, work: Work) -> Iterator["Ready"]:
        """The same weights everywhere."""
        at("claim")
        trace("loaded", job=JOB.get())
        yield Ready(work)
        trace("computed", job=JOB.get())


class Ready:
    """A job whose stub is loaded."""

    pinned = Pinned("0" * 64, PREPROCESSING)

    def __init__(self, work: Work) -> None:
        self.work = work

    def found(self, watch: Stopwatch) -> Generator[Found]:
        """Answers, image by image."""
        with in_turn(DEVICE), watch.on("model"):
            trace("begin", job=JOB.get())
            at("decode")
            if taken("device"):
                raise BrokenProcess("cuda:0: an illegal memory access was encountered")
            for image_id, entry in self.work.images:
                alive()
                if POISON in entry.path:
                    os.kill(os.getpid(), signal.SIGSEGV)
                if HANG in entry.path:
                    sum(range(2**60))  # for years, in C, which neither gives up Python's lock nor looks at signals
                time.sleep(JOB_TAKES / len(self.work.images))
                yield Found([row(image_id, entry.path, level) for level in self.work.recipe.levels], [], [])
            at("forward")
        at("commit")


def row(image_id: int, path: str, level: float) -> Predicted:
    ns, ss, ds = answer(path, level)
    return Predicted(
        image_id=image_id, level=level, label_ns=ns, confidence_ns=0.5, label_ss=ss, confidence_ss=0.5,
        label_ds=ds, confidence_ds=0.5, label_maj=majority(ns, ss, ds),
    )  # fmt: skip


class Traced(Worker):
    """A worker that writes down which jobs it begins and ends."""

    def do(self, job_id: int) -> None:
        """As a worker does."""
        JOB.set(job_id)
        super().do(job_id)
        trace("end", job=job_id)
        at("ack")


def at(point: str) -> None:
    """Comes to a point, and dies there if that is asked for."""
    if who := taken(point):
        trace(f"killed at {point}", job=JOB.get())
        if who == "parent":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def taken(order: str) -> str | None:
    """What an order says, if there is one, and nobody else took it."""
    mine = FAULTS / f"{order}.{os.getpid()}"
    try:
        (FAULTS / order).rename(mine)
    except FileNotFoundError:
        return None
    return mine.read_text()


def trace(what: str, **more: object) -> None:
    """A line that outlives this process."""
    line = json.dumps({"at": time.time(), "pid": os.getpid(), "what": what, **more})
    with (FAULTS / "trace").open("a") as file:
        file.write(f"{line}\n")


def break_commit(connection: Connection) -> None:
    """Before a COMMIT: its connection is cut by the server, if that is asked for."""
    if not taken("committing"):
        return
    mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with connection.engine.connect() as other:
        other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": mine})


FINISH = store.finish


def finish_plainly(
    engine: Engine,
    claim: Claim,
    predicted: Sequence[Predicted],
    failed: Sequence[Failed],
    counted: Sequence[Counted] = (),
    computer: Computer | None = None,
    *,
    seconds: float | None = None,
) -> bool:
    """The negative controls: what a queue without these promises does when a job is done."""
    if CONTROL == "plain-insert":  # no key, no conflict, and not with the job's end in one transaction
        with writing(engine) as session:
            rows = [f"({row.image_id}, {row.level}, {row.label_ns}, {row.label_ss}, {row.label_ds}, " +
                    f"{'NULL' if row.label_maj is None else row.label_maj})" for row in predicted]  # fmt: skip
            if rows:
                session.execute(text(f"INSERT INTO predictions_plain VALUES {', '.join(rows)}"))
    if CONTROL == "counter":  # n = n + 1 instead of a count of rows
        with writing(engine) as session:
            session.execute(text("UPDATE counter SET n = n + :more"), {"more": len(predicted)})
    at("rows")
    return FINISH(engine, claim, predicted, failed, counted, computer, seconds=seconds)


def make_stub() -> Worker:
    settings = load_settings()
    made = outlast(lambda: Traced(settings, Stub()), print)
    if CONTROL:
        store.finish = finish_plainly
    if made.engine.dialect.name == "postgresql":
        event.listen(made.engine, "commit", break_commit)
    return made


class Stubs:
    """In the place of this_worker: made once."""

    made: Worker | None = None
    making = Lock()

    def __call__(self) -> Worker:
        with self.making:
            self.made = self.made or make_stub()
            return self.made


if __name__ == "__main__":
    from cli.compute import worker as command
    from worker import supervisor

    supervisor.PROCESS = "benchmarks.stub_process"
    command()
