"""Dispatching to a real Redis."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
import redis
from rows import jobs, record
from sqlalchemy import Engine, text

from db.errors import Away
from db.message import QUEUE, TASK, without_secrets
from db.session import writing
from db.settings import Settings
from producer.broker import Broker, BrokerDown
from producer.depth import FEW
from producer.dispatch import PAUSE, Dispatcher, Filler, dispatch


@pytest.fixture
def queue(redis_url: str) -> Iterator[redis.Redis]:
    """The queue's Redis, empty before and after."""
    if redis_url.startswith("redis+socket://"):
        client = redis.Redis(unix_socket_path=redis_url.removeprefix("redis+socket://").partition("?")[0])
    else:
        client = redis.Redis.from_url(redis_url)
    client.delete(QUEUE)
    yield client
    client.delete(QUEUE)
    client.close()


@pytest.fixture
def broker(redis_url: str) -> Broker:
    return Broker(Settings(broker_url=redis_url))


def sent(queue: redis.Redis) -> list[int]:
    """Job ids on the queue, oldest first."""
    messages = [json.loads(message) for message in reversed(queue.lrange(QUEUE, 0, -1))]
    assert {message["headers"]["task"] for message in messages} <= {TASK}
    return [json.loads(_body(message))[0][0] for message in messages]


def _body(message: dict[str, str]) -> bytes:
    import base64

    return base64.b64decode(message["body"])


def test_what_is_due_goes_on_the_queue_once(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    run_id = record(engine, [0] * 10)
    assert dispatch(engine, broker, settings) == 3
    assert dispatch(engine, broker, settings) == 0
    assert sent(queue) == [job.id for job in jobs(engine, run_id)]
    assert broker.queued() == 3


def test_a_dispatcher_ends_once_the_database_is_a_generation_ahead(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    """It would take the jobs to a queue that newer workers do not listen to."""
    run_id = record(engine, [0])
    with writing(engine) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9900'"))
    with pytest.raises(Away, match="is at revision 9900, newer than this code's"):
        dispatch(engine, broker, settings)
    assert sent(queue) == []
    assert jobs(engine, run_id)[0].sent_at is None


def test_a_message_holds_the_id_of_a_job_and_nothing_else(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0])
    dispatch(engine, broker, settings)
    body = json.loads(_body(json.loads(queue.lindex(QUEUE, 0))))
    assert len(body[0]) == 1
    assert isinstance(body[0][0], int)
    assert body[1] == {}


def test_losing_all_of_redis_loses_nothing(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0] * 10)
    dispatch(engine, broker, settings)
    lost = sent(queue)
    queue.flushall()
    hasty = settings.model_copy(update={"lost_after": 0.0001})
    assert dispatch(engine, broker, hasty) == 3
    assert sent(queue) == lost


def test_jobs_on_the_queue_are_not_sent_twice_however_long_they_wait(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0] * 10)
    hasty = settings.model_copy(update={"lost_after": 0.0001})
    dispatch(engine, broker, hasty)
    assert dispatch(engine, broker, hasty) == 0
    assert len(sent(queue)) == 3


@pytest.mark.parametrize("garbage", [b"\xff", b"{}", b"[" * 100_000])
def test_a_broken_message_at_the_head_of_the_queue_counts_no_job_as_lost(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis, garbage: bytes
) -> None:
    record(engine, [0] * 10)
    hasty = settings.model_copy(update={"lost_after": 0.0001})
    dispatch(engine, broker, hasty)
    queue.rpush(QUEUE, garbage)
    assert broker.oldest() == 0
    assert dispatch(engine, broker, hasty) == 0


def test_the_oldest_message_is_the_job_that_was_sent_first(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    run_id = record(engine, [0] * 10)
    assert broker.oldest() is None
    dispatch(engine, broker, settings)
    assert broker.oldest() == jobs(engine, run_id)[0].id


def test_a_queue_that_is_down_leaves_the_jobs_due(engine: Engine, settings: Settings) -> None:
    run_id = record(engine, [0] * 10)
    down = Broker(Settings(broker_url="redis://:hunter2@127.0.0.1:1/0"))
    with pytest.raises(BrokerDown, match=r"cannot reach the queue at redis://\*\*\*@127\.0\.0\.1:1/0") as raised:
        dispatch(engine, down, settings)
    assert "hunter2" not in str(raised.value)
    assert all(job.sent_at is None for job in jobs(engine, run_id))


def test_a_queue_that_is_full_leaves_the_jobs_due(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    run_id = record(engine, [0] * 10)
    queue.config_set("maxmemory", "1")
    try:
        with pytest.raises(BrokerDown, match="not allowed when used memory"):
            dispatch(engine, broker, settings)
    finally:
        queue.config_set("maxmemory", "0")
    assert all(job.sent_at is None for job in jobs(engine, run_id))
    assert dispatch(engine, broker, settings) == 3


def test_only_the_jobs_of_the_named_runs_are_sent(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    first, second, third = (record(engine, [0] * 4, fingerprint=letter * 64) for letter in "abc")
    assert dispatch(engine, broker, settings, run_ids=[third, first]) == 2
    assert sent(queue) == [job.id for run_id in (first, third) for job in jobs(engine, run_id)]
    assert dispatch(engine, broker, settings, run_ids=[]) == 0
    assert dispatch(engine, broker, settings) == 1
    assert sent(queue)[-1] == jobs(engine, second)[0].id


def test_a_command_that_watches_waits_for_a_queue_that_it_had_reached(
    engine: Engine, settings: Settings, queue: redis.Redis, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = (record(engine, [0] * 4, fingerprint=letter * 64) for letter in "ab")
    broker = Flaky(Settings(broker_url=redis_url))
    with closing(Dispatcher(engine, broker, settings)) as dispatcher:
        broker.down = True
        with pytest.raises(BrokerDown):
            dispatcher.send([first])
        broker.down = False
        dispatcher.send([first])
        assert sent(queue) == [jobs(engine, first)[0].id]
        broker.down = True
        dispatcher.send([second])  # other runs than before: its thread looks at once
        until(lambda: "waiting for it" in said_so_far(capsys))
        broker.down = False
        until(lambda: sent(queue) == [jobs(engine, run_id)[0].id for run_id in (first, second)])
        until(lambda: "the queue is back" in said_so_far(capsys))


def said_so_far(capsys: pytest.CaptureFixture[str]) -> str:
    out = capsys.readouterr().err
    assert out in ("", "smoothvote: it is down; waiting for it\n", "smoothvote: the queue is back\n")
    return out


def until(so: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not so():
        assert time.monotonic() < end
        time.sleep(0.01)


class Flaky(Broker):
    """A queue that can be made unreachable."""

    down = False

    def queued(self) -> int:
        if self.down:
            raise BrokerDown("it is down")
        return super().queued()


# -- keeping the queue filled ------------------------------------------------------------------------------------


def take(queue: redis.Redis, count: int | None = None) -> int:
    """As workers do: takes messages from the queue, all of them if no number is given."""
    return len(queue.rpop(QUEUE, queue.llen(QUEUE) if count is None else count) or [])


def test_what_workers_take_makes_room_at_once(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0] * 100, job_size=1)
    filler = Filler(engine, broker, settings)
    assert (filler.look(), filler.look()) == (FEW, 0)
    take(queue, FEW // 2)
    assert filler.look() > 0  # though no search is due for two seconds
    assert broker.queued() >= FEW


def test_a_queue_that_ran_dry_is_filled_deeper_up_to_the_window(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0] * 300, job_size=1)
    filler = Filler(engine, broker, settings.model_copy(update={"window": 40}))
    filled = []
    for _ in range(3):
        filled.append(filler.look())
        assert take(queue) == filled[-1]
    assert filled == [16, 40, 40]


def test_once_all_is_sent_the_queue_is_not_looked_at_until_the_next_search(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    record(engine, [0] * 3, job_size=1)
    filler = Filler(engine, broker, settings)
    assert filler.look() == 3
    assert PAUSE / 2 < filler.pause <= PAUSE
    queue.delete(QUEUE)
    record(engine, [0] * 3, job_size=1, fingerprint="e" * 64)
    assert filler.look() == 0  # it would find the new run at the next search


def test_two_dispatchers_fill_the_queue_with_each_job_once(
    engine: Engine, settings: Settings, broker: Broker, queue: redis.Redis
) -> None:
    run_id = record(engine, [0] * 60, job_size=1)
    fillers = [Filler(engine, broker, settings) for _ in range(2)]
    seen: list[int] = []
    while len(seen) < 60:
        for filler in fillers:
            filler.look()
        seen += sent(queue)
        queue.delete(QUEUE)
    assert sorted(seen) == [job.id for job in jobs(engine, run_id)]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("redis://user:secret@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://:p%40ss@host/0", "rediss://***@host/0"),
        ("redis://h1/0;redis://:secret@h2/0", "redis://h1/0;redis://***@h2/0"),
        ("redis://:se@cret@host/0", "redis://***@host/0"),
    ],
)
def test_urls_are_shown_without_their_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
