"""Workers as processes, on a real Redis, that are killed, stopped, fooled and cut off; their model is a stub."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery import Celery
from rows import RECIPE, jobs
from servers import RedisServer, free_port
from sqlalchemy import Engine, select

from benchmarks.known import HANG, POINTS, POISON
from benchmarks.proxy import Proxy
from db import store
from db.message import QUEUE, message_of
from db.migrations import upgrade
from db.session import connect, open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from db.tables import Failure, Image, Job, Prediction
from producer.broker import Broker
from producer.dispatch import dispatch

ROOT = Path(__file__).parent.parent
LEVELS = len(RECIPE.levels)


class Place:
    """A Redis, a database, and workers that come and go."""

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
        self.log = folder / "log"
        self._environment = os.environ | {
            "SMOOTHVOTE_BROKER_URL": self.redis.url, "SMOOTHVOTE_DATABASE_URL": url, "FAULTS": str(self.faults),
        }  # fmt: skip

    def record(self, names: list[str], *, job_size: int) -> str:
        run_id = RECIPE.run_id("f" * 64)
        entries = [Entry(path=name, label=None, bytes=None) for name in names]
        with writing(self.engine) as session:
            dataset_id = store.record_dataset(
                session, name="d", root="/", fingerprint="f" * 64, found=len(names), entries=entries
            )
            store.record_run(session, run_id=run_id, dataset_id=dataset_id, name="r", recipe=RECIPE, job_size=job_size)
        return run_id

    @contextmanager
    def worker(self, *flags: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        with self.log.open("a") as log:
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
        """Dispatches, until something is so."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, self.log.read_text()
            if sending:
                dispatch(self.engine, self.broker, self.settings)
            time.sleep(0.1)

    def done(self) -> bool:
        with reading(self.engine) as session:
            return not session.scalars(select(Job.id).where(Job.done_at.is_(None))).all()

    def predicted(self) -> set[str]:
        """Images with a prediction at each level."""
        with reading(self.engine) as session:
            found = session.scalars(select(Image.path).join(Prediction, Prediction.image_id == Image.id)).all()
        assert all(found.count(path) == LEVELS for path in found)
        return set(found)

    def failed(self) -> dict[str, tuple[str, str]]:
        with reading(self.engine) as session:
            rows = session.execute(
                select(Image.path, Failure.code, Failure.message).join(Failure, Failure.image_id == Image.id)
            )
            return {row.path: (row.code, row.message) for row in rows}

    def begun(self) -> int:
        trace = self.faults / "trace"
        return trace.read_text().count('"begin"') if trace.exists() else 0

    def end(self) -> None:
        self.engine.dispose()
        self.broker.close()
        self.redis.end()


@pytest.fixture
def place(tmp_path: Path, short_folder: Path) -> Iterator[Place]:
    folder = short_folder / tmp_path.name
    folder.mkdir()
    place = Place(tmp_path, folder)
    yield place
    place.end()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("who", ["child", "parent"])
def test_a_worker_killed_anywhere_in_a_job_loses_and_doubles_nothing(place: Place, point: str, who: str) -> None:
    run_id = place.record(["a", "b", "c", "d"], job_size=2)
    (place.faults / point).write_text(who)
    with place.worker(SMOOTHVOTE_LEASE="2") as first:
        place.until(lambda: first.poll() is not None or place.done())
    if who == "parent":
        with place.worker():
            place.until(place.done)
    assert place.predicted() == {"a", "b", "c", "d"}
    assert place.failed() == {}
    tried = sorted(job.attempts for job in jobs(place.engine, run_id))
    assert tried == ([1, 1] if point == "ack" else [1, 2])


def test_a_job_whose_process_died_is_due_at_once_and_not_when_its_lease_ends(place: Place) -> None:
    (run_id, began) = (place.record(["a"], job_size=1), time.monotonic())
    (place.faults / "forward").write_text("child")
    with place.worker(SMOOTHVOTE_LEASE="3600"):
        place.until(place.done)
    assert time.monotonic() - began < 60
    assert jobs(place.engine, run_id)[0].attempts == 2
    assert "Worker exited prematurely: signal 9 (SIGKILL) Job: 0.; it is due again" in place.log.read_text()


def test_an_image_that_ends_its_workers_is_found_and_its_neighbours_are_predicted(place: Place) -> None:
    names = ["a", "b", POISON, "d"]
    run_id = place.record(names, job_size=4)
    with place.worker():
        place.until(place.done, 120)
    assert place.predicted() == {"a", "b", "d"}
    assert place.failed() == {
        POISON: ("worker_failed", "in each of 3 attempts at this image: the worker died or stopped answering")
    }
    # 3 of the whole, 1 of its half, 3 of the image alone; and 1 each of the other half and of the neighbour.
    assert [(job.first, job.last, job.attempts) for job in jobs(place.engine, run_id)][1] == (2, 2, 3)
    assert place.begun() == 3 + 1 + 3 + 1 + 1


def test_an_image_that_hangs_with_pythons_lock_held_is_found_too(place: Place) -> None:
    place.record([HANG, "b"], job_size=2)
    with place.worker(SMOOTHVOTE_STALL="1", SMOOTHVOTE_MAX_ATTEMPTS="1"):
        place.settings = place.settings.model_copy(update={"max_attempts": 1})
        place.until(place.done, 120)
    assert place.predicted() == {"b"}
    assert place.failed()[HANG][0] == "worker_failed"
    assert "Timeout (0:00:01)!" in place.log.read_text()  # and where it hung


def test_a_broken_device_costs_its_process_and_no_attempt(place: Place) -> None:
    run_id = place.record(["a", "b"], job_size=1)
    (place.faults / "device").write_text("broken")
    with place.worker():
        place.until(lambda: place.predicted())
    given_back, done = sorted(jobs(place.engine, run_id), key=lambda job: job.attempts)
    assert (given_back.attempts, given_back.done_at, done.attempts) == (0, None, 1)
    assert given_back.note == (
        "its device failed, and its process with it: cuda:0: an illegal memory access was encountered"
    )
    assert given_back.refused_by not in (None, done.worker)  # another child of the same parent
    assert given_back.leased_until is not None  # its own death does not make it due sooner
    assert given_back.leased_until > datetime.now(UTC)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT]], ids=["SIGTERM", "Ctrl-C"])
def test_told_to_stop_a_worker_finishes_the_job_in_hand_and_takes_no_other(
    place: Place, signals: list[signal.Signals]
) -> None:
    run_id = place.record(["a", "b", "c"], job_size=1)
    with place.worker(JOB_TAKES="1.5") as worker:
        place.until(lambda: place.begun())
        for number in signals:
            worker.send_signal(number)
        code = worker.wait(30)
    assert code == (0 if signals == [signal.SIGTERM] else 1)
    assert [bool(job.done_at) for job in jobs(place.engine, run_id)] == [True, False, False]
    assert place.begun() == 1


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGQUIT], [signal.SIGINT, signal.SIGINT]],
    ids=["SIGTERM", "SIGQUIT", "Ctrl-C twice"],
)
def test_a_job_that_takes_longer_than_the_grace_is_handed_back_at_once_and_does_not_count(
    place: Place, signals: list[signal.Signals]
) -> None:
    run_id = place.record(["a"], job_size=1)
    with place.worker(JOB_TAKES="600", SMOOTHVOTE_GRACE="1") as worker:
        place.until(lambda: place.begun())
        for number in signals:
            worker.send_signal(number)
            time.sleep(0.3)
        worker.wait(20)
    (job,) = jobs(place.engine, run_id)
    assert (job.attempts, job.sent_at, job.leased_until, job.worker) == (0, None, None, None)
    with place.worker():
        place.until(place.done)
    assert place.predicted() == {"a"}


def test_what_nobody_should_have_written_is_dropped_with_a_line_each_and_does_no_harm(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    strange = [message_of(1) for _ in range(3)]
    strange[0]["headers"]["task"] = ["a", "list"]
    strange[1]["headers"] = None
    strange[2]["properties"].pop("body_encoding")
    place.redis.client.rpush(QUEUE, b"\xff\x00", "{", "{}", "7", "[" * 100_000, *map(json.dumps, strange))
    harmful = message_of(jobs(place.engine, run_id)[0].id)
    harmful["headers"] |= {"timelimit": [0.01, 0.01], "eta": "2199-01-01T00:00:00", "expires": "never", "retries": "x"}
    place.redis.client.rpush(QUEUE, json.dumps(harmful), json.dumps(message_of(10**6)))
    with place.worker():
        place.until(place.done)
        place.until(lambda: not place.redis.client.exists(QUEUE, "unacked"), sending=False)
    said = place.log.read_text()
    assert said.count("dropped a message that is no JSON, or no message") == 3
    assert said.count("dropped a message that names no job") == 5
    assert said.count("job 1000000: done, taken or cancelled already") == 1
    assert "Traceback" not in said
    assert jobs(place.engine, run_id)[0].attempts == 1  # the message with the time limit was done, without it


@pytest.mark.parametrize("strange", [b"\xff", b"7", b"[1]"])
def test_strangers_words_beside_the_queue_end_no_worker(place: Place, strange: bytes) -> None:
    """Among what is not acknowledged, and on the channel of Celery's remote control."""
    place.record(["a"], job_size=1)
    with place.worker() as worker:
        place.until(lambda: place.redis.client.pubsub_numpat(), sending=False)
        place.redis.client.hset("unacked", "tag", strange)
        place.redis.client.zadd("unacked_index", {"tag": 1})
        place.redis.client.publish("/0.celery.pidbox", strange)
        place.until(lambda: not place.redis.client.exists("unacked"), sending=False)
        place.until(place.done)
        assert worker.poll() is None
    assert "dropped an unacknowledged message that cannot be read" in place.log.read_text()
    assert "Traceback" not in place.log.read_text()


def test_a_worker_obeys_nobody_who_reaches_redis(place: Place) -> None:
    place.record(["a"], job_size=1)
    with place.worker() as worker, Celery("stranger", broker=place.redis.url, set_as_current=False) as stranger:
        place.until(lambda: place.redis.client.pubsub_numpat(), sending=False)
        stranger.control.broadcast("shutdown")
        stranger.control.broadcast("cancel_consumer", arguments={"queue": QUEUE})
        (answer,) = stranger.control.ping(timeout=5, limit=1)
        place.until(place.done)
        assert worker.poll() is None
    assert next(iter(answer.values())) == {"ok": "pong"}


def test_a_message_delivered_a_thousand_times_is_done_once_and_all_are_acknowledged(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    (job,) = jobs(place.engine, run_id)
    place.redis.client.rpush(QUEUE, *[json.dumps(message_of(job.id)) for _ in range(1000)])
    with place.worker():
        place.until(lambda: not place.redis.client.exists(QUEUE, "unacked"), sending=False)
    (job,) = jobs(place.engine, run_id)
    assert (job.attempts, place.begun()) == (1, 1)
    assert place.predicted() == {"a"}
    assert place.log.read_text().count("done, taken or cancelled already") == 999


def test_a_message_lost_between_redis_and_the_worker_is_sent_again(place: Place) -> None:
    place.record(["a", "b"], job_size=1)
    dispatch(place.engine, place.broker, place.settings)
    place.redis.client.lpop(QUEUE)  # what a worker does that dies before it has written down what it took
    with place.worker():
        place.until(place.done)
    assert place.predicted() == {"a", "b"}


def test_a_redis_that_is_full_is_waited_for_and_the_worker_says_so(place: Place) -> None:
    place.record(["a", "b", "c", "d"], job_size=1)
    dispatch(place.engine, place.broker, place.settings)
    with place.worker() as worker:
        place.redis.client.config_set("maxmemory", "1")
        place.until(lambda: "command not allowed when used memory > 'maxmemory'" in _log(place), sending=False)
        place.redis.client.config_set("maxmemory", "0")
        place.until(place.done)
        assert worker.poll() is None  # the same worker
    assert "Traceback" not in place.log.read_text()


def test_a_redis_that_is_killed_and_comes_back_empty_is_found_again(place: Place) -> None:
    place.record(["a", "b", "c", "d"], job_size=1)
    dispatch(place.engine, place.broker, place.settings)
    with place.worker(JOB_TAKES="1") as worker:
        place.until(lambda: place.begun())
        place.redis.kill()
        time.sleep(1)
        place.redis.start()
        place.until(place.done)
        assert worker.poll() is None
    assert place.predicted() == {"a", "b", "c", "d"}


def test_a_worker_started_before_its_queue_waits_for_it_if_it_is_told_to(place: Place) -> None:
    place.record(["a"], job_size=1)
    place.redis.kill()
    with place.worker("--wait") as worker:
        place.until(
            lambda: "is Redis up, and is SMOOTHVOTE_BROKER_URL right?; waiting for it" in _log(place), sending=False
        )
        place.redis.start()
        place.until(place.done)
        assert worker.poll() is None
    place.redis.kill()
    with place.worker() as hasty:
        assert hasty.wait(20) > 0


def test_an_acknowledgement_that_fails_does_not_stop_the_worker_for_ever(place: Place) -> None:
    """Celery would go on counting the job as in hand, and take no other, on a connection that is fine by then."""
    place.record(["a", "b"], job_size=1)
    with place.worker(JOB_TAKES="0.5"):
        place.until(lambda: place.begun())
        place.redis.client.config_set("maxmemory", "1")
        place.until(lambda: "Couldn't ack" in _log(place), sending=False)
        place.redis.client.config_set("maxmemory", "0")
        place.until(place.done, 30)
    assert place.predicted() == {"a", "b"}


def test_a_link_that_falls_silent_while_a_job_is_done_is_left_and_the_worker_goes_on(place: Place) -> None:
    port, target = free_port(), free_port()
    place.redis.kill()
    place.redis.listen(target)
    proxy = Proxy(port, target)
    place.record(["a", "b"], job_size=1)
    with place.worker(SMOOTHVOTE_BROKER_URL=f"redis://127.0.0.1:{port}/0", JOB_TAKES="1"):
        place.until(lambda: place.begun())
        proxy.abandon()
        place.until(place.done)
        proxy.end()


def test_no_secret_of_an_url_is_in_a_workers_log(place: Place) -> None:
    place.redis.client.config_set("requirepass", "hunter2")
    socket_file = place.redis.url.removeprefix("redis+socket://").partition("?")[0]
    place.record(["a"], job_size=1)
    url = f"redis+socket://:hunter2@{socket_file}?virtual_host=0"
    with place.worker(SMOOTHVOTE_BROKER_URL=url):
        place.until(lambda: "working on" in _log(place), sending=False)
        time.sleep(1)
        place.redis.kill()
        place.until(lambda: "Cannot connect" in _log(place), sending=False)
    assert "hunter2" not in place.log.read_text()


def _log(place: Place) -> str:
    return place.log.read_text() if place.log.exists() else ""
