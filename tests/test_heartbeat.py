"""The heartbeat of a worker process, on a real database that goes away and comes back."""

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import Engine

import worker.activity
from db.migrations import upgrade
from db.session import open_engine, reading
from db.settings import Settings
from db.workers import WorkerSeen, read_workers
from worker.activity import Activity
from worker.heartbeat import Heart
from worker.ready import why_not_ready


def seen(engine: Engine) -> list[WorkerSeen]:
    with reading(engine) as session:
        return read_workers(session, [])


def until(what: Callable[[], object]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_heartbeat_says_what_the_process_has_done_by_then(engine: Engine) -> None:
    activity = Activity()
    heart = Heart(engine, "box:1", activity, pause=0.02)
    heart.start()
    until(lambda: seen(engine))
    (first,) = seen(engine)
    assert (first.heartbeat.stage, first.heartbeat.images, first.heartbeat.model) == ("idle", 0, None)
    activity.ended("stored", images=5)
    activity.model = "timm/x"
    with activity.job(7), activity.watch.on("load"):
        until(lambda: seen(engine)[0].heartbeat.stage == "loading")
    until(lambda: seen(engine)[0].heartbeat.stage == "idle")
    heart.stop()
    (last,) = seen(engine)
    assert (last.heartbeat.images, last.heartbeat.model) == (5, "timm/x")
    assert last.started_at == first.started_at
    assert last.heartbeat.memory


def test_a_database_that_is_away_is_passed_over_and_written_to_when_it_is_back(tmp_path: Path) -> None:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'later' / 'record.db'}"))
    heart = Heart(engine, "box:1", Activity(), pause=0.02)
    heart.start()
    time.sleep(0.1)
    (tmp_path / "later").mkdir()
    upgrade(engine)
    until(lambda: seen(engine))
    heart.stop()
    engine.dispose()


def test_the_share_of_busy_time_is_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, busy = iter((100.0, 100.0, 110.0, 140.0, 170.0, 230.0, 290.0)), iter((0.0, 5.0, 35.0, 65.0, 65.0, 95.0))
    monkeypatch.setattr(worker.activity, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    activity = Activity()
    monkeypatch.setattr(activity.watch, "busy", lambda: next(busy))
    # At the start; then 5 of 10 s and 35 of 40; then those since the last look that is a minute old or more.
    assert [activity.busy_share() for _ in range(6)] == [0, 5 / 10, 35 / 40, 60 / 60, 0, 30 / 60]


def test_a_process_is_ready_once_database_and_queue_answer_and_no_model_is_loaded(
    redis_url: str, tmp_path: Path
) -> None:
    settings, activity = Settings(broker_url=redis_url), Activity()
    assert "waits for the database" in (why_not_ready(settings, activity) or "")
    activity.beat_at = time.monotonic()
    assert why_not_ready(settings, activity) is None
    with activity.job(7), activity.watch.on("load"):
        assert why_not_ready(settings, activity) == "it loads a model"
    nowhere = Settings(broker_url=f"redis+socket://{tmp_path}/none.sock")
    assert "cannot reach the queue" in (why_not_ready(nowhere, activity) or "")
    activity.beat_at -= 40
    assert "the database has taken no heartbeat for 4" in (why_not_ready(settings, activity) or "")
