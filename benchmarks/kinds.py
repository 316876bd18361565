"""What can go wrong: each fault is something really done to a worker, a server or the queue."""

import base64
import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import select

from benchmarks.known import POINTS
from benchmarks.scene import Scene
from db.message import QUEUE, message_of
from db.session import reading
from db.tables import Job

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
    (scene.faults / "committing").write_text("now")


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
#: As long as it may take in life; only when asked for by name.
LONG: dict[str, Fault] = {"Redis down for 30 s": redis_down(30), "database down for 60 s": database_down(60)}
#: In the negative controls: what makes the difference between them and the real thing show.
TELLING: dict[str, Fault] = {
    "Redis flushed": redis_flushed,
    "child killed at ack": killed_at("ack", "child"),
    "child killed between the rows and the job's end": killed_at("rows", "child"),
    "stopped for longer than its lease": stopped_for_long,
}


ALL = FAULTS | ON_POSTGRESQL | ON_SQLITE | LONG | TELLING


def kinds_of(database: str, control: str | None, only: tuple[str, ...]) -> dict[str, Fault]:
    """What may happen."""
    if only:
        return {name: ALL[name] for name in only}
    return TELLING if control else FAULTS | (ON_POSTGRESQL if database == "postgresql" else ON_SQLITE)
