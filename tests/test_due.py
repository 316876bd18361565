"""Which jobs are due: sent once, again if they were lost, and split if they end their workers."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from rows import CERTIFICATE, LEVELS, claimed, count, image_ids, jobs, predicted, record, take_due
from sqlalchemy import Engine, select

from db import control, store
from db.due import release, split_spent, unsend
from db.recipe import make_recipe
from db.session import reading, writing
from db.tables import Failure, Image, Prediction

# -- sending -------------------------------------------------------------------------------------------------------


def test_a_job_that_was_sent_is_not_due_again(engine: Engine) -> None:
    record(engine, [0] * 10)
    assert len(take_due(engine)) == 3
    assert take_due(engine) == []


def test_no_more_jobs_are_sent_than_there_is_room_for(engine: Engine) -> None:
    run_id = record(engine, [0] * 40, job_size=4)
    first = take_due(engine, room=4)
    assert first == [job.id for job in jobs(engine, run_id)[:4]]
    assert take_due(engine, room=0) == []
    assert take_due(engine, room=2) == [job.id for job in jobs(engine, run_id)[4:6]]


def test_two_dispatchers_at_once_send_each_job_once(engine: Engine) -> None:
    record(engine, [0] * 200, job_size=2)
    with ThreadPoolExecutor(4) as threads:
        sent = [job for taken in threads.map(lambda _: take_due(engine, room=1000), range(4)) for job in taken]
    assert len(sent) == len(set(sent)) == 100


def test_one_run_can_be_dispatched_without_the_others(engine: Engine) -> None:
    first = record(engine, [0] * 4)
    second = record(engine, [0] * 4, recipe=make_recipe(model="efficientnet_lite0", seed=9))
    assert take_due(engine, run_id=second) == [job.id for job in jobs(engine, second)]
    assert take_due(engine) == [job.id for job in jobs(engine, first)]


# -- several runs --------------------------------------------------------------------------------------------------


def work_sent(engine: Engine, run_id: str) -> int:
    """Images of the jobs that were sent, times the copies of each."""
    sent = [job for job in jobs(engine, run_id) if job.sent_at]
    return sum((job.last - job.first + 1) * (job.copies_last - job.copies_first + 1) for job in sent)


def test_runs_share_the_queue_by_their_views_whatever_their_sizes(engine: Engine) -> None:
    large = record(engine, [0] * 2000, job_size=20)
    small = record(engine, [0] * 500, job_size=5, fingerprint="e" * 64)
    certificate = record(engine, [0] * 100, recipe=CERTIFICATE, copies=60, job_size=1, fingerprint="d" * 64)
    for _ in range(10):
        assert len(take_due(engine, room=10)) == 10
    votes, copies = 3 * len(LEVELS), len(CERTIFICATE.levels)
    views = [
        work_sent(engine, large) * votes,
        work_sent(engine, small) * votes,
        work_sent(engine, certificate) * copies,
    ]
    assert max(views) - min(views) <= 20 * votes, views  # the views of the largest job


def test_a_run_submitted_after_a_long_one_is_served_at_once(engine: Engine) -> None:
    long = record(engine, [0] * 400, job_size=1)
    for job_id in take_due(engine, room=100):
        assert store.finish(engine, claimed(engine, job_id), [], [])
    assert len(take_due(engine, room=16)) == 16
    late = record(engine, [0] * 30, job_size=1, fingerprint="e" * 64)
    assert take_due(engine, room=30) == [job.id for job in jobs(engine, late)]
    assert take_due(engine, room=1) == [jobs(engine, long)[116].id]


def test_of_two_runs_each_gets_half_of_what_workers_do(engine: Engine) -> None:
    one, other = (record(engine, [0] * 200, job_size=1, fingerprint=letter * 64) for letter in "ab")
    queue: list[int] = []
    done = {one: 0, other: 0}
    for _ in range(60):
        queue += take_due(engine, room=10 - len(queue))
        claim = claimed(engine, queue.pop(0))
        assert store.finish(engine, claim, [], [])
        done[claim.run_id] += 1
    assert abs(done[one] - done[other]) <= 10  # what is on the queue


def test_jobs_of_a_higher_priority_are_sent_first(engine: Engine) -> None:
    usual, urgent, idle = (record(engine, [0] * 8, fingerprint=letter * 64) for letter in "abc")
    for run_id, priority in ((urgent, 3), (idle, -1)):
        with writing(engine) as session:
            control.prioritise(session, run_id, priority)
    ids = {run_id: [job.id for job in jobs(engine, run_id)] for run_id in (usual, urgent, idle)}
    assert take_due(engine) == ids[urgent] + ids[usual] + ids[idle]


def test_more_runs_than_a_worker_keeps_models_of_take_longer_turns(engine: Engine) -> None:
    runs = [record(engine, [0] * 2000, job_size=1, fingerprint=letter * 64) for letter in "abc"]
    for job_id in take_due(engine, room=180):
        assert store.finish(engine, claimed(engine, job_id), [], [])
    # 60 jobs of each were done in the last minute: a turn of 20 seconds is 60 jobs.
    owner = {job.id: run_id for run_id in runs for job in jobs(engine, run_id)}
    turns = [run_id for run_id, _ in groupby(take_due(engine, room=240), key=owner.__getitem__)]
    assert turns == [runs[0], runs[1], runs[2]]
    assert len(take_due(engine, room=30)) == 30


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
    early = take_due(engine, room=2)
    time.sleep(0.05)
    late = take_due(engine, room=1)
    time.sleep(0.05)
    assert take_due(engine, lost_after=0.01, room=3, oldest=late[0])[:2] == early  # though the queue is never empty
    assert late[0] not in early


def test_a_lost_message_comes_before_jobs_that_were_never_sent(engine: Engine) -> None:
    record(engine, [0] * 40, job_size=4)
    sent = take_due(engine, room=4)
    time.sleep(0.05)
    assert take_due(engine, room=4, lost_after=0.01) == sent


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
    given_back = take_due(engine, room=4)
    for job_id in given_back:
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=0.01)
    time.sleep(0.05)
    healthy = record(engine, [0] * 8, job_size=1, fingerprint="e" * 64)
    first = [job.id for job in jobs(engine, healthy)]
    sent = take_due(engine, room=10)
    assert len(sent) == 10
    assert not set(sent) & set(given_back)  # they come last
    assert set(first[:6]) <= set(sent)


def test_a_run_whose_jobs_are_all_given_back_gets_its_share_and_no_more(engine: Engine) -> None:
    """Some worker may be able to do them; but they must not fill the queue again and again."""
    record(engine, [0] * 4, job_size=1)
    given_back = take_due(engine, room=4)
    for job_id in given_back:
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=0.01)
    time.sleep(0.05)
    record(engine, [0] * 100, job_size=1, fingerprint="e" * 64)
    assert not set(take_due(engine, room=4)) & set(given_back)
    assert len(set(take_due(engine, room=4)) & set(given_back)) == 2


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
