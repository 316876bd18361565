"""Claims: a job is with one worker at a time, and every attempt that an image could be blamed for counts."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from at_work import put_back
from rows import claimed, jobs, record, take_due
from sqlalchemy import Engine

from db import control, store
from db.due import release, split_spent
from db.runs import find_run, progress
from db.session import reading, writing

# -- claim ---------------------------------------------------------------------------------------------------------


def test_a_job_is_claimed_by_one_worker_only(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    job_id = jobs(engine, run_id)[0].id
    with ThreadPoolExecutor(4) as threads:
        claims = list(threads.map(lambda n: store.claim(engine, job_id, worker=f"w{n}", lease=60), range(4)))
    assert sum(claim is not None for claim in claims) == 1
    assert jobs(engine, run_id)[0].attempts == 1


def test_a_job_that_was_tried_before_can_be_left_alone(engine: Engine) -> None:
    fresh, tried = (job.id for job in jobs(engine, record(engine, [0] * 8)))
    claimed(engine, tried, lease=-1)
    assert store.claim(engine, tried, worker="w", lease=60, first_attempt=True) is None
    assert store.claim(engine, fresh, worker="w", lease=60, first_attempt=True)
    assert claimed(engine, tried).attempts == 2


def test_an_attempt_is_counted_before_any_work_is_done(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    job_id = jobs(engine, run_id)[0].id
    for attempt in (1, 2, 3):
        assert claimed(engine, job_id, lease=0.01).attempts == attempt
        time.sleep(0.05)


@pytest.mark.parametrize("job_id", [999_999, 2**62])
def test_a_message_that_names_no_job_of_the_database_claims_nothing(engine: Engine, job_id: int) -> None:
    assert store.claim(engine, job_id, worker="w", lease=60) is None


def test_a_lease_is_renewed_until_another_worker_has_the_job(engine: Engine) -> None:
    run_id = record(engine, [0])
    claim = claimed(engine, jobs(engine, run_id)[0].id, worker="first", lease=0.05)
    assert store.renew(engine, claim, worker="first", lease=0.05)
    time.sleep(0.1)
    claimed(engine, claim.id, worker="second")
    assert not store.renew(engine, claim, worker="first", lease=60)
    assert store.renew(engine, claim, worker="second", lease=60)


def test_a_cancelled_run_is_neither_sent_nor_claimed_nor_renewed(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    first, second = take_due(engine)
    claim = claimed(engine, first)
    with writing(engine) as session:
        control.cancel(session, run_id)
    assert not store.renew(engine, claim, worker="w", lease=60)
    assert store.claim(engine, second, worker="w", lease=60) is None
    assert take_due(engine, lost_after=0.0) == []
    record(engine, [0] * 8)  # submits it again
    assert store.claim(engine, second, worker="w", lease=60)


def test_a_job_whose_lease_is_ended_can_be_claimed_in_the_same_millisecond(engine: Engine) -> None:
    (job_id,) = (job.id for job in jobs(engine, record(engine, [0])))
    for _ in range(200):  # SQLite's clock counts milliseconds, and some of these take less
        claimed(engine, job_id, worker="w")
        assert store.expire(engine, worker="w") == [job_id]


# -- given back ----------------------------------------------------------------------------------------------------


def test_a_refusal_that_is_repeated_takes_the_attempt_off_once(engine: Engine) -> None:
    """As after a COMMIT of which nobody knows. With less than no attempts, no worker would claim the job ever again."""
    (job_id,) = (job.id for job in jobs(engine, record(engine, [0] * 4)))
    claim = claimed(engine, job_id)
    for _ in range(2):
        store.refuse(engine, claim, worker="w", note="no weights here", after=-1)
    again = store.claim(engine, job_id, worker="w", lease=60, first_attempt=True)
    assert again
    assert again.attempts == 1


def test_a_refused_job_is_due_again_later_and_the_attempt_does_not_count(engine: Engine) -> None:
    run_id = record(engine, [0])
    (job_id,) = take_due(engine)
    claim = claimed(engine, job_id)
    store.refuse(engine, claim, worker="w", note="no weights here", after=60)
    assert take_due(engine) == []
    job = jobs(engine, run_id)[0]
    assert (job.note, job.refused_by, job.attempts) == ("no weights here", "w", 0)
    put_back(engine, 61, "jobs", "leased_until")
    assert take_due(engine) == [job_id]
    with reading(engine) as session:
        waits = progress(session, find_run(session, run_id))
    assert (waits.refused_by, waits.note) == ("w", "no weights here")  # also once it is sent again
    claimed(engine, job_id)
    assert jobs(engine, run_id)[0].note is None


def test_a_refusal_never_counts_as_an_attempt(engine: Engine) -> None:
    run_id = record(engine, [0])
    (job_id,) = take_due(engine)
    for _ in range(3):  # Ctrl-C, three times
        claimed(engine, job_id, worker="run:host:1:2")
        with writing(engine) as session:
            release(session, run_id, worker="run:host:1:")
    assert jobs(engine, run_id)[0].attempts == 0
    for _ in range(3):
        store.refuse(engine, claimed(engine, job_id), worker="w", note="no weights here", after=-1)
        with writing(engine) as session:
            assert split_spent(session, max_attempts=1) == 0


def test_the_job_of_a_dead_worker_is_due_at_once_and_the_attempt_counts(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    first, second, third = take_due(engine)
    claimed(engine, first, worker="host:1:10")
    claimed(engine, second, worker="host:1:11")
    refusing = claimed(engine, third, worker="host:1:10")
    store.refuse(engine, refusing, worker="host:1:10", note="no weights", after=60)
    store.give_up(engine, first, worker="host:1:10")
    store.give_up(engine, second, worker="host:1:10")  # another process has it
    store.give_up(engine, third, worker="host:1:10")
    assert take_due(engine) == [first]
    assert [job.attempts for job in jobs(engine, run_id)] == [1, 1, 0]


def test_the_job_of_a_stopped_worker_is_due_at_once_and_the_attempt_does_not_count(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    first, second, third = take_due(engine)
    claimed(engine, first, worker="host:1:10")
    claimed(engine, second, worker="host:12:10")  # of another worker, whose name begins the same way
    claimed(engine, third, worker="host:1:11")
    store.hand_back(engine, worker="host:1:1")  # begins the children's names, but is no worker
    assert take_due(engine) == []
    store.hand_back(engine, worker="host:1")
    assert take_due(engine) == [first, third]
    assert [job.attempts for job in jobs(engine, run_id)] == [0, 1, 0]
