"""Which jobs are due: sent once, again if they were lost, and split if they end their workers."""

import time
from concurrent.futures import ThreadPoolExecutor

from rows import LEVELS, claimed, count, image_ids, jobs, predicted, record, take_due
from sqlalchemy import Engine, select

from db import store
from db.due import release, split_spent, unsend
from db.recipe import make_recipe
from db.session import reading, writing
from db.tables import Failure, Image, Prediction

# -- sending -------------------------------------------------------------------------------------------------------


def test_a_job_that_was_sent_is_not_due_again(engine: Engine) -> None:
    record(engine, [0] * 10)
    assert len(take_due(engine)) == 3
    assert take_due(engine) == []


def test_at_most_a_window_of_jobs_is_sent_at_once(engine: Engine) -> None:
    run_id = record(engine, [0] * 40, job_size=4)
    first = take_due(engine, window=4)
    assert first == [job.id for job in jobs(engine, run_id)[:4]]
    assert take_due(engine, window=4) == []
    store.finish(engine, claimed(engine, first[0]), [], [])
    assert take_due(engine, window=4) == [jobs(engine, run_id)[4].id]


def test_a_claimed_job_counts_in_the_window(engine: Engine) -> None:
    record(engine, [0] * 40, job_size=4)
    for job_id in take_due(engine, window=4):
        claimed(engine, job_id)
    assert take_due(engine, window=4) == []


def test_two_dispatchers_at_once_send_each_job_once(engine: Engine) -> None:
    record(engine, [0] * 200, job_size=2)
    with ThreadPoolExecutor(4) as threads:
        sent = [job for taken in threads.map(lambda _: take_due(engine, window=1000), range(4)) for job in taken]
    assert len(sent) == len(set(sent)) == 100


def test_one_run_can_be_dispatched_without_the_others(engine: Engine) -> None:
    first = record(engine, [0] * 4)
    second = record(engine, [0] * 4, recipe=make_recipe(model="efficientnet_lite0", seed=9))
    assert take_due(engine, run_id=second) == [job.id for job in jobs(engine, second)]
    assert take_due(engine) == [job.id for job in jobs(engine, first)]


# -- lost ----------------------------------------------------------------------------------------------------------


def test_a_lost_message_is_sent_again_and_one_that_is_still_queued_is_not(engine: Engine) -> None:
    record(engine, [0] * 8)
    sent = take_due(engine)
    time.sleep(0.05)
    assert take_due(engine, lost_after=0.01, oldest=sent[0]) == []  # the first is still queued, so all are
    assert take_due(engine, lost_after=0.01, oldest=0) == []  # the oldest message names no known job
    assert take_due(engine, lost_after=30) == []
    assert take_due(engine, lost_after=0.01) == sent


def test_a_lost_message_is_found_while_later_ones_are_still_queued(engine: Engine) -> None:
    record(engine, [0] * 16, job_size=4)
    early = take_due(engine, window=2)
    time.sleep(0.05)
    late = take_due(engine, window=3)
    time.sleep(0.05)
    assert take_due(engine, lost_after=0.01, window=4, oldest=late[0])[:2] == early  # though the queue is never empty
    assert late[0] not in early


def test_a_lost_message_is_found_even_if_the_window_is_full(engine: Engine) -> None:
    record(engine, [0] * 40, job_size=4)
    sent = take_due(engine, window=4)
    time.sleep(0.05)
    assert take_due(engine, window=4, lost_after=0.01) == sent


def test_a_job_whose_lease_ended_is_due_again(engine: Engine) -> None:
    record(engine, [0] * 4)
    (job_id,) = take_due(engine)
    claimed(engine, job_id, lease=0.05)
    time.sleep(0.1)
    assert take_due(engine) == [job_id]
    assert take_due(engine) == []


def test_jobs_that_the_queue_did_not_take_are_due_again(engine: Engine) -> None:
    record(engine, [0] * 8)
    sent = take_due(engine)
    with writing(engine) as session:
        unsend(session, sent)
    assert take_due(engine) == sent


# -- released and given back ---------------------------------------------------------------------------------------


def test_released_jobs_are_due_at_once_and_other_workers_keep_theirs(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    mine, theirs, queued = take_due(engine)
    claimed(engine, mine, worker="run:host:1:22")
    claimed(engine, theirs, worker="run:host:2:33")
    with writing(engine) as session:
        release(session, run_id, worker="run:host:1")
    assert take_due(engine) == [mine, queued]


def test_a_worker_name_with_wildcards_releases_only_its_own_jobs(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    (job_id,) = take_due(engine)
    claimed(engine, job_id, worker="run:host:1")
    with writing(engine) as session:
        release(session, run_id, worker="run:%")
    assert take_due(engine) == []


def test_jobs_that_are_given_back_again_and_again_keep_no_others_waiting(engine: Engine) -> None:
    record(engine, [0] * 8, job_size=1)
    given_back = take_due(engine, window=4)
    for job_id in given_back:
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=0.01)
    time.sleep(0.05)
    healthy = record(engine, [0] * 8, job_size=1, fingerprint="e" * 64)
    first = [job.id for job in jobs(engine, healthy)]
    sent = take_due(engine, window=10)
    assert len(sent) == 10
    assert not set(sent) & set(given_back)  # they come last
    assert set(first[:6]) <= set(sent)


def test_jobs_that_were_given_back_take_no_place_in_the_window(engine: Engine) -> None:
    record(engine, [0] * 8, job_size=1)
    for job_id in take_due(engine, window=4):
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=60)
    assert len(take_due(engine, window=4)) == 4


# -- poison --------------------------------------------------------------------------------------------------------


def test_a_job_that_ends_its_workers_is_split_down_to_the_image_that_does_it(engine: Engine) -> None:
    run_id = record(engine, [0] * 8, job_size=8)
    poison, attempts = 5, 0
    for _ in range(200):
        with writing(engine) as session:
            split_spent(session, max_attempts=3)
        due = take_due(engine)
        if not due:
            break
        for job_id in due:
            job = next(job for job in jobs(engine, run_id) if job.id == job_id)
            deadly = job.first <= poison <= job.last
            claim = claimed(engine, job_id, lease=-1 if deadly else 60)  # its worker dies
            if deadly:
                attempts += 1
                continue
            rows = [predicted(image, level, 1, 1, 1, 1) for image in image_ids(engine, claim) for level in LEVELS]
            assert store.finish(engine, claim, rows, [])
    assert attempts == 3 + 1 + 1 + 3  # spans of 8, 4, 2 and 1 images: one attempt shows whether a half holds it
    assert count(engine, Prediction) == 7 * len(LEVELS)
    with reading(engine) as session:
        (lost,) = session.scalars(select(Failure))
        assert session.get_one(Image, lost.image_id).position == poison
        assert lost.code == "worker_failed"
    assert all(job.done_at for job in jobs(engine, run_id))
