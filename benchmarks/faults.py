"""The fault storm: workers, Redis and database are killed, cut off, filled and fooled; and then every row is compared.

    python -m benchmarks.faults --seeds 20 --seconds 60         on PostgreSQL and on SQLite in turn
    python -m benchmarks.faults --control no-sweeper            what it looks like without the sweeper: rows are missing

Real Redis, real databases, real workers; only the model is a stub, whose answers are known (benchmarks/stub.py).
Exit code 1 if a row is missing, there twice or wrong.
"""

import base64
import json
import os
import random
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text

from benchmarks.known import POINTS
from benchmarks.scene import Scene, Verdict
from db.message import QUEUE, message_of
from db.session import reading, writing
from db.tables import Job

#: So many open jobs keep all workers busy until the next fault.
ENOUGH = 20
#: Seconds between two faults, and for the runs to be completed after the last one.
EVERY, PATIENCE = 2.0, 240.0
CONTROLS = ("no-sweeper", "plain-insert", "counter")

#: Does it, and gives the processes that it hit, if it was processes.
Fault = Callable[[Scene, random.Random], list[int] | None]


# -- workers -----------------------------------------------------------------------------------------------------


def killed_at(point: str, who: str) -> Fault:
    """Somebody dies at a point of a job's life: the child alone, or its parent with it."""

    def fault(scene: Scene, chance: random.Random) -> None:
        (scene.faults / point).write_text(who)

    return fault


def stopped_then_killed(scene: Scene, chance: random.Random) -> list[int]:
    """Parent and children hang, and then die: what the parent had taken off the queue is lost with it."""
    worker = chance.choice(scene.workers)
    group = [worker.pid, *scene.children(worker)]
    _signal(group, signal.SIGSTOP)
    scene.wait(1)
    _signal(group, signal.SIGKILL)
    return group


def stopped_for_long(scene: Scene, chance: random.Random) -> list[int]:
    """A worker hangs for longer than its lease, and then goes on as if nothing had been."""
    worker = chance.choice(scene.workers)
    group = [worker.pid, *scene.children(worker)]
    _signal(group, signal.SIGSTOP)
    scene.wait(6)
    _signal(group, signal.SIGCONT)
    return group


def signalled(*signals: signal.Signals) -> Fault:
    """A worker is told to stop, politely or not."""

    def fault(scene: Scene, chance: random.Random) -> list[int]:
        worker = chance.choice(scene.workers)
        children = scene.children(worker)
        for number in signals:
            _signal([worker.pid], number)
            time.sleep(0.2)
        return children

    return fault


def dispatcher_killed(scene: Scene, chance: random.Random) -> None:
    if scene.dispatchers:
        scene.dispatchers[0].kill()


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


# -- Redis -------------------------------------------------------------------------------------------------------


def redis_down(seconds: float) -> Fault:
    """Redis is killed, and an empty one comes in its place after a while."""

    def fault(scene: Scene, chance: random.Random) -> None:
        scene.redis.kill()
        scene.wait(seconds)
        scene.redis.start()

    return fault


def redis_flushed(scene: Scene, chance: random.Random) -> None:
    scene.redis.client.flushall()


def redis_full(scene: Scene, chance: random.Random) -> None:
    scene.redis.client.config_set("maxmemory", "1")
    scene.wait(3)
    scene.redis.client.config_set("maxmemory", "0")


def link_dead(scene: Scene, chance: random.Random) -> None:
    """Every connection to Redis falls silent and stays open; new ones work."""
    scene.proxy.abandon()


# -- messages ----------------------------------------------------------------------------------------------------


def message_a_thousand_times(scene: Scene, chance: random.Random) -> None:
    with reading(scene.engine) as session:
        job_id = chance.choice(session.scalars(select(Job.id)).all())
    scene.redis.client.rpush(QUEUE, *[json.dumps(message_of(job_id)) for _ in range(1000)])


def message_of_a_finished_job(scene: Scene, chance: random.Random) -> None:
    with reading(scene.engine) as session:
        done = session.scalars(select(Job.id).where(Job.done_at.is_not(None))).all()
    scene.redis.client.rpush(QUEUE, *[json.dumps(message_of(job_id)) for job_id in done[:50]])


def message_of_an_unknown_job(scene: Scene, chance: random.Random) -> None:
    scene.redis.client.rpush(QUEUE, *[json.dumps(message_of(10**9 + number)) for number in range(50)])


def garbage(scene: Scene, chance: random.Random) -> None:
    """What no producer wrote: no JSON, no message, no job, another task, more than a job."""
    strange = [message_of(1) for _ in range(6)]
    strange[0]["headers"]["task"] = "celery.backend_cleanup"
    strange[1]["body"] = base64.b64encode(b'[["1; DROP TABLE jobs"], {}, {}]').decode()
    strange[2]["body"] = base64.b64encode(b'[[1], {"model": "/etc/passwd"}, {}]').decode()
    strange[3]["headers"] = None
    strange[4]["properties"].pop("delivery_tag")
    strange[5]["headers"] |= {"timelimit": [0.001, 0.001], "eta": "soon", "expires": "never", "task": ["a list"]}
    scene.redis.client.rpush(
        QUEUE, b"\xff\x00garbage", "{}", "[]", "7", "[" * 100_000, *map(json.dumps, strange), chance.randbytes(500)
    )


# -- database ----------------------------------------------------------------------------------------------------


def database_down(seconds: float) -> Fault:
    """PostgreSQL crashes, and is back after a while."""

    def fault(scene: Scene, chance: random.Random) -> None:
        assert scene.postgres
        scene.postgres.kill()
        scene.wait(seconds)
        scene.postgres.start()

    return fault


def commit_cut(scene: Scene, chance: random.Random) -> None:
    """A connection is cut between a transaction's last statement and its COMMIT."""
    (scene.faults / "committing").touch()


CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'worker'"


def connections_cut(scene: Scene, chance: random.Random) -> None:
    scene.as_admin(CUT)


def out_of_connections(scene: Scene, chance: random.Random) -> None:
    scene.as_admin("ALTER DATABASE record CONNECTION LIMIT 0", CUT)
    scene.wait(2)
    scene.as_admin("ALTER DATABASE record CONNECTION LIMIT -1")


def read_only(scene: Scene, chance: random.Random) -> None:
    scene.as_admin("ALTER ROLE worker SET default_transaction_read_only = on", CUT)
    scene.wait(2)
    scene.as_admin("ALTER ROLE worker RESET default_transaction_read_only")


def sqlite_locked(scene: Scene, chance: random.Random) -> None:
    """Another program writes, and takes its time."""
    with sqlite3.connect(scene.folder / "record.db", isolation_level=None) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        scene.wait(3)
        connection.execute("ROLLBACK")
    connection.close()


FAULTS: dict[str, Fault] = {
    **{f"child killed at {point}": killed_at(point, "child") for point in POINTS},
    **{f"parent and child killed at {point}": killed_at(point, "parent") for point in POINTS},
    "stopped, then killed": stopped_then_killed,
    "stopped for longer than its lease": stopped_for_long,
    "SIGTERM": signalled(signal.SIGTERM),
    "SIGQUIT": signalled(signal.SIGQUIT),
    "Ctrl-C twice": signalled(signal.SIGINT, signal.SIGINT),
    "dispatcher killed": dispatcher_killed,
    "Redis restarted, empty": redis_down(0.2),
    "Redis down": redis_down(4),
    "Redis flushed": redis_flushed,
    "Redis full": redis_full,
    "link to Redis dead": link_dead,
    "a message 1000 times": message_a_thousand_times,
    "messages of finished jobs": message_of_a_finished_job,
    "messages of unknown jobs": message_of_an_unknown_job,
    "garbage on the queue": garbage,
}
ON_POSTGRESQL: dict[str, Fault] = {
    "database restarted": database_down(0.2),
    "database down": database_down(4),
    "cut at COMMIT": commit_cut,
    "connections cut": connections_cut,
    "out of connections": out_of_connections,
    "read-only": read_only,
}
ON_SQLITE: dict[str, Fault] = {"locked by another writer": sqlite_locked}
#: In the negative controls: what makes the difference between them and the real thing show.
TELLING: dict[str, Fault] = {
    "Redis flushed": redis_flushed,
    "child killed at ack": killed_at("ack", "child"),
    "child killed between the rows and the job's end": killed_at("rows", "child"),
    "stopped for longer than its lease": stopped_for_long,
}


# -- the storm ---------------------------------------------------------------------------------------------------


@dataclass
class Storm:
    """What one seed did, and what became of it."""

    seed: int
    database: str
    verdict: Verdict
    faults: dict[str, int]
    #: Jobs begun more often than once, as a share of all jobs.
    rerun: float
    #: Seconds until the jobs that a fault hit were done; of an outage, from its end until the next job was done.
    recovery: dict[str, list[float]]
    #: Seconds from the last fault until everything was done.
    settled: float
    counted: int | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every row is there once and right."""
        counted = self.counted is None or self.counted == self.verdict.predictions
        return counted and not (self.verdict.missing or self.verdict.duplicate or self.verdict.wrong)


def storm(seed: int, database: str, seconds: float, *, each_once: bool, control: str | None, folder: Path) -> Storm:
    """One storm, of so many seconds; then time for the runs to be completed; then the comparison."""
    chance = random.Random(f"{seed} {database}")
    scene = Scene(folder, database, control=control)
    happened: list[tuple[str, float, list[int] | None]] = []
    try:
        if control:
            _prepare(scene)
        _submit(scene)
        while not any(event["what"] == "end" for event in scene.trace()):
            scene.wait(0.5)
        kinds = FAULTS | (ON_POSTGRESQL if database == "postgresql" else ON_SQLITE)
        if control:
            kinds = TELLING
        began, planned = time.monotonic(), 0
        every = seconds / len(kinds) if each_once else EVERY
        order: list[str] = []
        while time.monotonic() - began < seconds or (each_once and planned < len(kinds)):
            scene.wait(max(0.0, began + planned * every * chance.uniform(0.9, 1) - time.monotonic()))
            if not order:
                order = chance.sample(sorted(kinds), len(kinds))
            name = order.pop()
            hit = kinds[name](scene, chance)
            happened.append((name, time.time(), hit))
            planned += 1
            if scene.open_jobs() < ENOUGH:
                _submit(scene)  # the storm goes on; so does the work
        ended = time.monotonic()
        while scene.open_jobs() and time.monotonic() - ended < (8 if control == "no-sweeper" else PATIENCE):
            scene.wait(0.5)
        settled = time.monotonic() - ended
        return _judge(scene, seed, database, happened, settled)
    finally:
        scene.end()


def _judge(
    scene: Scene, seed: int, database: str, happened: list[tuple[str, float, list[int] | None]], settled: float
) -> Storm:
    trace, verdict = scene.trace(), scene.verdict()
    begun = sum(event["what"] == "begin" for event in trace)
    done, recovery = scene.done(), dict[str, list[float]]()
    ends = [event["at"] for event in trace if event["what"] == "end"]
    for name, at, hit in happened:
        kills = [event for event in trace if event["what"] == f"killed at {name.split()[-1]}" and event["at"] >= at]
        if "killed at" in name and kills:
            at, hit = kills[0]["at"], [kills[0]["pid"]]
        if hit is None:  # no process, but what they all depend on: until one of them ended a job again
            again = [end for end in ends if end > at]
        else:  # until the jobs that they had in hand were done, by whomever
            begun_by = {event["pid"]: event["job"] for event in trace if event["what"] == "begin" and event["at"] <= at}
            again = sorted((done.get(begun_by.get(pid, 0), 0) for pid in hit), reverse=True)
        if again and again[0] > at:
            recovery.setdefault(name, []).append(again[0] - at)
    counted = None
    if scene.control == "counter":
        with reading(scene.engine) as session:
            counted = session.execute(text("SELECT n FROM counter")).scalar_one()
    return Storm(
        seed, database, verdict, dict(Counter(name for name, *_ in happened)), begun / verdict.jobs - 1, recovery,
        settled, counted,
    )  # fmt: skip


def _prepare(scene: Scene) -> None:
    columns = "image_id INTEGER, sigma FLOAT, label_ns INTEGER, label_ss INTEGER, label_ds INTEGER, label_maj INTEGER"
    with writing(scene.engine) as session:
        session.execute(text(f"CREATE TABLE predictions_plain ({columns})"))
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))


def _submit(scene: Scene) -> None:
    run_id = scene.submit()
    if scene.control == "no-sweeper":  # each job is sent when it is submitted, and that is that
        with reading(scene.engine) as session:
            ids = session.scalars(select(Job.id).where(Job.run_id == run_id)).all()
        scene.redis.client.lpush(QUEUE, *[json.dumps(message_of(job_id)) for job_id in ids])


# -- what is printed ---------------------------------------------------------------------------------------------


def quantiles(seconds: list[float]) -> str:
    """p50 / p95 / max."""
    if not seconds:
        return "–"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return f"{statistics.median(seconds):.1f} / {cuts[18]:.1f} / {max(seconds):.1f}"


def show(storms: list[Storm]) -> None:
    """A line a seed; then a line a fault."""
    console = Console(width=150)
    table = Table("seed", "database", "faults", "rows", "missing", "duplicate", "wrong", "re-run", "recovery p50/p95/max, s", "settled, s")  # fmt: skip
    for one in storms:
        judged = one.verdict
        table.add_row(
            str(one.seed), one.database, str(sum(one.faults.values())), str(judged.expected), str(judged.missing),
            str(judged.duplicate), str(judged.wrong), f"{one.rerun:.1%}",
            quantiles([value for values in one.recovery.values() for value in values]), f"{one.settled:.1f}",
        )  # fmt: skip
    console.print(table)
    faults = Table("fault", "times", "recovery p50/p95/max, s")
    for name in FAULTS | ON_POSTGRESQL | ON_SQLITE | TELLING:
        if times := sum(one.faults.get(name, 0) for one in storms):
            faults.add_row(
                name, str(times), quantiles([value for one in storms for value in one.recovery.get(name, [])])
            )
    console.print(faults)


@click.command()
@click.option("--seeds", default=1, show_default=True, help="How many storms.")
@click.option("--first", default=0, show_default=True, help="The first one's seed.")
@click.option("--seconds", default=60.0, show_default=True, help="How long each blows.")
@click.option(
    "--database", type=click.Choice(["both", "in-turn", "postgresql", "sqlite"]), default="in-turn", show_default=True
)
@click.option("--each-once", is_flag=True, help="Every kind of fault exactly once, in a random order.")
@click.option("--control", type=click.Choice(CONTROLS), help="A negative control: without one of the promises.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where to write the same as JSON.")
@click.option("--keep", is_flag=True, help="Keep each storm's folder, with its logs, and say where.")
def main(
    seeds: int,
    first: int,
    seconds: float,
    database: str,
    each_once: bool,
    control: str | None,
    json_file: Path | None,
    keep: bool,
) -> None:
    """Blows, and compares."""
    storms: list[Storm] = []
    for seed in range(first, first + seeds):
        both = ["postgresql", "sqlite"]
        for kind in {"both": both, "in-turn": [both[seed % 2]]}.get(database, [database]):
            folder = Path(tempfile.mkdtemp(prefix="pytest-"))
            try:
                storms.append(storm(seed, kind, seconds, each_once=each_once, control=control, folder=folder))
            finally:
                if keep:
                    print(f"seed {seed} on {kind}: {folder}", file=sys.stderr)
                else:
                    shutil.rmtree(folder, ignore_errors=True)
            judged = storms[-1].verdict
            print(
                f"seed {seed} on {kind}: {sum(storms[-1].faults.values())} faults, {judged.expected} rows expected, "
                f"{judged.missing} missing, {judged.duplicate} duplicate, {judged.wrong} wrong",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            if storms[-1].counted is not None:
                print(
                    f"a counter says {storms[-1].counted} predictions; there are {judged.predictions}", file=sys.stderr
                )
    show(storms)
    if json_file:
        json_file.write_text(json.dumps([asdict(one) | {"exact": one.exact} for one in storms], indent=1))
    sys.exit(not all(one.exact for one in storms))


if __name__ == "__main__":
    main()
