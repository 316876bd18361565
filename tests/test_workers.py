"""What the record says of workers and of the queue: heartbeats, jobs in hand, rates, and how long jobs have waited."""

from datetime import UTC, datetime

import pytest
from at_work import heartbeat, put_back
from rows import claimed, finish_all, jobs, record, take_due
from sqlalchemy import Engine, text

from db import store
from db.queue import Queue, read_finished, read_queue
from db.session import reading, writing
from db.workers import WorkerSeen, beat, forget_gone, leave, read_workers


def seen(engine: Engine) -> list[WorkerSeen]:
    with reading(engine) as session:
        return read_workers(session, read_finished(session))


def queue(engine: Engine) -> Queue:
    with reading(engine) as session:
        return read_queue(session)


# -- heartbeats --------------------------------------------------------------------------------------------------


def test_a_heartbeat_is_a_row_which_the_next_one_writes_anew(engine: Engine) -> None:
    beat(engine, heartbeat("one:7"))
    put_back(engine, 20, "workers", "started_at")
    put_back(engine, 10, "workers", "seen_at")
    beat(engine, heartbeat("one:7", stage="loading", images=12, busy=0.5, memory=10**10, model="timm/x"))
    (worker,) = seen(engine)
    assert worker.heartbeat == heartbeat("one:7", stage="loading", images=12, busy=0.5, memory=10**10, model="timm/x")
    assert 20 <= (worker.seen_at - worker.started_at).total_seconds() < 30
    assert worker.silent < 5
    assert abs((datetime.now(UTC) - worker.seen_at).total_seconds()) < 60
    assert worker.state == "loading"


def test_a_worker_that_misses_three_heartbeats_is_gone_and_comes_last(engine: Engine) -> None:
    for name in ("a", "b", "c"):
        beat(engine, heartbeat(name))
    put_back(engine, 29, "workers", "seen_at", "name = 'b'")
    put_back(engine, 40, "workers", "seen_at", "name = 'a'")
    assert [(worker.heartbeat.name, worker.state) for worker in seen(engine)] == [
        ("b", "idle"), ("c", "idle"), ("a", "gone"),
    ]  # fmt: skip


def test_a_worker_that_is_gone_for_a_day_is_forgotten(engine: Engine) -> None:
    for name in ("a", "b"):
        beat(engine, heartbeat(name))
    put_back(engine, 86_500, "workers", "seen_at", "name = 'a'")
    assert [worker.heartbeat.name for worker in seen(engine)] == ["b"]
    forget_gone(engine)
    with reading(engine) as session:
        assert session.scalars(text("SELECT name FROM workers")).all() == ["b"]


def test_a_worker_that_ends_in_order_takes_the_rows_of_its_processes_along(engine: Engine) -> None:
    for name in ("host:7-ab", "host:7-ab:8", "host:7-abc:9", "other"):
        beat(engine, heartbeat(name))
    leave(engine, "host:7-ab")
    assert [worker.heartbeat.name for worker in seen(engine)] == ["host:7-abc:9", "other"]


def test_what_a_worker_has_in_hand_and_how_fast_it_is_comes_from_its_jobs(engine: Engine) -> None:
    run_id = record(engine, [1] * 12, job_size=3)
    beat(engine, heartbeat("w"))
    beat(engine, heartbeat("v"))
    finish_all(engine, run_id, worker="w", only=2)
    put_back(engine, 61, "jobs", "done_at", f"id = {jobs(engine, run_id)[0].id}")  # is no longer of the last minute
    claimed(engine, jobs(engine, run_id)[2].id, worker="w")
    v, w = seen(engine)
    assert (v.rate, v.in_hand, v.state) == (0, [], "idle")
    assert w.rate == pytest.approx(3 / 60)
    assert [(job.job_id, job.run) for job in w.in_hand] == [(jobs(engine, run_id)[2].id, "a run")]
    assert w.state == "working"


def test_copies_of_a_certificate_count_as_their_share_of_an_image(engine: Engine) -> None:
    run_id = record(engine, [1] * 4, job_size=2, copies=4)
    with writing(engine) as session:
        # As if the run's four copies of two images were two jobs of two copies each, of which one is done.
        session.execute(text("UPDATE jobs SET copies_last = 1, worker = 'w'"))
        session.execute(text("UPDATE jobs SET done_at = CURRENT_TIMESTAMP WHERE first = 0"))
    with reading(engine) as session:
        assert [(one.worker, one.run_id, one.images) for one in read_finished(session)] == [("w", run_id, 1.0)]


# -- queue -------------------------------------------------------------------------------------------------------


def test_each_open_job_is_in_one_state(engine: Engine) -> None:
    run_id = record(engine, [1] * 6, job_size=1)
    assert queue(engine).jobs == {run_id: {"due": 6}}
    take_due(engine, room=4)
    sent = jobs(engine, run_id)
    claimed(engine, sent[0].id, worker="w")
    refusing = claimed(engine, sent[1].id, worker="v")
    store.refuse(engine, refusing, worker="v", note="no weights", after=60)
    assert queue(engine).jobs == {run_id: {"due": 2, "queued": 2, "claimed": 1, "refused": 1}}
    put_back(engine, 100, "jobs", "leased_until", f"id = {sent[0].id}")  # its worker is dead
    assert queue(engine).jobs == {run_id: {"due": 3, "queued": 2, "refused": 1}}


@pytest.mark.parametrize(("column", "state"), [("cancelled_at", "cancelled"), ("paused_at", "paused")])
def test_jobs_of_a_stopped_run_count_apart_but_for_those_in_hand(engine: Engine, column: str, state: str) -> None:
    run_id = record(engine, [1] * 3, job_size=1)
    take_due(engine, room=2)
    claimed(engine, jobs(engine, run_id)[0].id)
    with writing(engine) as session:
        session.execute(text(f"UPDATE runs SET {column} = CURRENT_TIMESTAMP"))
    assert queue(engine).jobs == {run_id: {state: 2, "claimed": 1}}


def test_a_job_waits_since_its_run_was_submitted_or_its_lease_ended_or_it_was_sent(engine: Engine) -> None:
    assert (queue(engine).oldest_due, queue(engine).oldest_queued) == (None, None)
    run_id = record(engine, [1] * 3, job_size=1)
    put_back(engine, 500, "runs", "submitted_at")
    assert 500 <= (queue(engine).oldest_due or 0) < 530
    take_due(engine)
    assert queue(engine).oldest_due is None
    first, second, _ = jobs(engine, run_id)
    put_back(engine, 50, "jobs", "sent_at", f"id = {second.id}")
    claimed(engine, first.id, lease=10)
    put_back(engine, 110, "jobs", "leased_until", f"id = {first.id}")  # it ended 100 s ago
    found = queue(engine)
    assert 50 <= (found.oldest_queued or 0) < 80
    assert 99 <= (found.oldest_due or 0) < 130
