import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import (
    LEVELS,
    PREPROCESSING,
    RECIPE,
    failed,
    finish_all,
    image_ids,
    jobs,
    predicted,
    record,
    take_due,
)
from sqlalchemy import Engine, func, select

from db import store
from db.due import release, split_spent, unsend
from db.errors import Refusal
from db.recipe import make_recipe
from db.runs import find_run, progress
from db.session import reading, writing
from db.store import Claim
from db.tables import Dataset, Failure, Image, Job, Prediction, Run


def count(engine: Engine, table: type) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def claimed(engine: Engine, job_id: int, *, worker: str = "w", lease: float = 60) -> Claim:
    claim = store.claim(engine, job_id, worker=worker, lease=lease)
    assert claim
    return claim


# -- submit ------------------------------------------------------------------------------------------------------


def test_a_run_is_cut_into_jobs_that_cover_every_image_once(engine: Engine) -> None:
    run_id = record(engine, [0] * 10, job_size=4)
    assert [(job.first, job.last) for job in jobs(engine, run_id)] == [(0, 3), (4, 7), (8, 9)]


def test_submitting_again_adds_nothing(engine: Engine) -> None:
    first = record(engine, [0] * 10)
    assert record(engine, [0] * 10, job_size=2, name="another name") == first
    assert [count(engine, table) for table in (Dataset, Image, Run, Job)] == [1, 10, 1, 3]


def test_another_recipe_is_another_run_over_the_same_images(engine: Engine) -> None:
    record(engine, [0] * 10)
    record(engine, [0] * 10, recipe=make_recipe(model="efficientnet_lite0", levels=LEVELS, seed=1))
    assert [count(engine, table) for table in (Dataset, Image, Run)] == [1, 10, 2]


def test_two_producers_that_submit_at_once_record_one_run(engine: Engine) -> None:
    with ThreadPoolExecutor(4) as threads:
        ids = set(threads.map(lambda _: record(engine, [0] * 50), range(4)))
    assert len(ids) == 1
    assert [count(engine, table) for table in (Dataset, Image, Run, Job)] == [1, 50, 1, 13]


def test_a_dataset_that_moved_is_read_from_where_it_is_now(engine: Engine) -> None:
    run_id = record(engine, [0])
    with writing(engine) as session:
        store.record_dataset(session, name="images", root="/elsewhere", fingerprint="f" * 64, found=1, entries=[])
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    assert store.load_work(engine, claim).root == "/elsewhere"


def test_a_run_of_which_nothing_was_found_can_be_taken_back_and_no_other(engine: Engine) -> None:
    begun = record(engine, [0] * 4)
    finish_all(engine, begun)
    fresh = record(engine, [0] * 4, recipe=make_recipe(model="efficientnet_lite0", seed=9))
    with writing(engine) as session:
        store.forget(session, begun)
        store.forget(session, fresh)
    assert [count(engine, table) for table in (Run, Job, Prediction)] == [1, 1, 8]


# -- dispatch ----------------------------------------------------------------------------------------------------


def test_what_was_sent_is_not_due_again(engine: Engine) -> None:
    record(engine, [0] * 10)
    assert len(take_due(engine)) == 3
    assert take_due(engine) == []


def test_only_a_window_of_jobs_is_on_the_way(engine: Engine) -> None:
    run_id = record(engine, [0] * 40, job_size=4)
    first = take_due(engine, window=4)
    assert first == [job.id for job in jobs(engine, run_id)[:4]]
    assert take_due(engine, window=4) == []
    store.finish(engine, claimed(engine, first[0]), [], [])
    assert take_due(engine, window=4) == [jobs(engine, run_id)[4].id]


def test_a_claimed_job_stays_in_the_window(engine: Engine) -> None:
    record(engine, [0] * 40, job_size=4)
    for job_id in take_due(engine, window=4):
        claimed(engine, job_id)
    assert take_due(engine, window=4) == []


def test_two_dispatchers_at_once_send_each_job_once(engine: Engine) -> None:
    record(engine, [0] * 200, job_size=2)
    with ThreadPoolExecutor(4) as threads:
        sent = [job for taken in threads.map(lambda _: take_due(engine, window=1000), range(4)) for job in taken]
    assert len(sent) == len(set(sent)) == 100


def test_a_message_that_was_lost_is_sent_again_and_one_in_line_is_not(engine: Engine) -> None:
    record(engine, [0] * 8)
    sent = take_due(engine)
    time.sleep(0.05)
    assert take_due(engine, lost_after=0.01, oldest=sent[0]) == []  # the first of them is still in line: so are all
    assert take_due(engine, lost_after=0.01, oldest=0) == []  # what is in line is not known
    assert take_due(engine, lost_after=30) == []
    assert take_due(engine, lost_after=0.01) == sent


def test_a_lost_message_is_found_while_others_that_were_sent_later_wait_in_line(engine: Engine) -> None:
    record(engine, [0] * 16, job_size=4)
    early = take_due(engine, window=2)
    time.sleep(0.05)
    late = take_due(engine, window=3)
    time.sleep(0.05)
    assert take_due(engine, lost_after=0.01, window=4, oldest=late[0])[:2] == early  # the queue is never empty
    assert late[0] not in early


def test_a_lost_message_is_found_however_full_the_window_is(engine: Engine) -> None:
    record(engine, [0] * 40, job_size=4)
    sent = take_due(engine, window=4)
    time.sleep(0.05)
    assert take_due(engine, window=4, lost_after=0.01) == sent


def test_a_job_whose_worker_fell_silent_is_due_again(engine: Engine) -> None:
    record(engine, [0] * 4)
    (job_id,) = take_due(engine)
    claimed(engine, job_id, lease=0.05)
    time.sleep(0.1)
    assert take_due(engine) == [job_id]
    assert take_due(engine) == []


def test_what_the_queue_did_not_take_is_due_again(engine: Engine) -> None:
    record(engine, [0] * 8)
    sent = take_due(engine)
    with writing(engine) as session:
        unsend(session, sent)
    assert take_due(engine) == sent


def test_one_run_can_be_dispatched_without_the_others(engine: Engine) -> None:
    first = record(engine, [0] * 4)
    second = record(engine, [0] * 4, recipe=make_recipe(model="efficientnet_lite0", seed=9))
    assert take_due(engine, run_id=second) == [job.id for job in jobs(engine, second)]
    assert take_due(engine) == [job.id for job in jobs(engine, first)]


# -- work --------------------------------------------------------------------------------------------------------


def test_a_job_is_claimed_by_one_worker_only(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    job_id = jobs(engine, run_id)[0].id
    with ThreadPoolExecutor(4) as threads:
        claims = list(threads.map(lambda n: store.claim(engine, job_id, worker=f"w{n}", lease=60), range(4)))
    assert sum(claim is not None for claim in claims) == 1
    assert jobs(engine, run_id)[0].attempts == 1


def test_an_attempt_is_counted_before_any_work_is_done(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    job_id = jobs(engine, run_id)[0].id
    for attempt in (1, 2, 3):
        assert claimed(engine, job_id, lease=0.01).attempts == attempt
        time.sleep(0.05)


@pytest.mark.parametrize("job_id", [999_999, 2**62])
def test_a_message_for_no_known_job_comes_to_nothing(engine: Engine, job_id: int) -> None:
    assert store.claim(engine, job_id, worker="w", lease=60) is None


def test_a_finished_job_cannot_be_claimed_or_finished_again(engine: Engine) -> None:
    run_id = record(engine, [0])
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    (image,) = image_ids(engine, claim)
    assert store.finish(engine, claim, [predicted(image, sigma, 1, 1, 1, 1) for sigma in LEVELS], [])
    assert not store.finish(engine, claim, [predicted(image, sigma, 2, 2, 2, 2) for sigma in LEVELS], [])
    assert not store.finish(engine, claim, [], [failed(image)])
    assert store.claim(engine, claim.id, worker="w", lease=60) is None
    with reading(engine) as session:
        assert set(session.scalars(select(Prediction.label_maj))) == {1}
    assert count(engine, Failure) == 0


def test_two_workers_that_finish_one_job_at_once_store_it_once(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    rows = [predicted(image, sigma, 1, 1, 1, 1) for image in image_ids(engine, claim) for sigma in LEVELS]
    together = threading.Barrier(4)

    def finish(_: int) -> bool:
        together.wait()
        return store.finish(engine, claim, rows, [])

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(finish, range(4))) == [False, False, False, True]
    assert count(engine, Prediction) == 8


def test_a_worker_given_up_for_dead_may_finish_if_nobody_else_did(engine: Engine) -> None:
    run_id = record(engine, [0])
    late = claimed(engine, jobs(engine, run_id)[0].id, worker="late", lease=0.01)
    time.sleep(0.05)
    other = claimed(engine, late.id, worker="other")
    (image,) = image_ids(engine, late)
    assert store.finish(engine, late, [predicted(image, sigma, 1, 1, 1, 1) for sigma in LEVELS], [])
    assert not store.finish(engine, other, [predicted(image, sigma, 1, 1, 1, 1) for sigma in LEVELS], [])


def test_a_lease_is_renewed_until_it_is_lost(engine: Engine) -> None:
    run_id = record(engine, [0])
    claim = claimed(engine, jobs(engine, run_id)[0].id, worker="first", lease=0.05)
    assert store.renew(engine, claim, worker="first", lease=0.05)
    time.sleep(0.1)
    claimed(engine, claim.id, worker="second")
    assert not store.renew(engine, claim, worker="first", lease=60)
    assert store.renew(engine, claim, worker="second", lease=60)


def test_a_cancelled_run_is_neither_sent_nor_claimed_nor_held(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    first, second = take_due(engine)
    claim = claimed(engine, first)
    with writing(engine) as session:
        store.cancel(session, run_id)
    assert not store.renew(engine, claim, worker="w", lease=60)
    assert store.claim(engine, second, worker="w", lease=60) is None
    assert take_due(engine, lost_after=0.0) == []
    record(engine, [0] * 8)  # submitted again
    assert store.claim(engine, second, worker="w", lease=60)


def test_the_first_worker_says_which_weights_a_run_has_and_others_are_held_to_it(engine: Engine) -> None:
    run_id = record(engine, [0])
    store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING)
    store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING)
    with pytest.raises(Refusal, match=f"weights_sha256 is {'b' * 64}, run {run_id} began with {'a' * 64}"):
        store.pin_weights(engine, run_id, weights_sha256="b" * 64, preprocessing=PREPROCESSING)
    with pytest.raises(Refusal, match="preprocessing"):
        store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING._replace(crop=192))


def test_a_refused_job_is_offered_again_and_the_attempt_does_not_count(engine: Engine) -> None:
    run_id = record(engine, [0])
    (job_id,) = take_due(engine)
    claim = claimed(engine, job_id)
    store.refuse(engine, claim, worker="w", note="no weights here", after=0.1)
    assert take_due(engine) == []
    job = jobs(engine, run_id)[0]
    assert (job.note, job.refused_by, job.attempts) == ("no weights here", "w", 0)
    time.sleep(0.15)
    assert take_due(engine) == [job_id]
    with reading(engine) as session:
        waits = progress(session, find_run(session, run_id))
    assert (waits.refused_by, waits.note) == ("w", "no weights here")  # also when it is on its way again
    claimed(engine, job_id)
    assert jobs(engine, run_id)[0].note is None


def test_a_refusal_is_no_attempt_whatever_came_before_it(engine: Engine) -> None:
    run_id = record(engine, [0])
    (job_id,) = take_due(engine)
    for _ in range(3):  # three times Ctrl-C
        claimed(engine, job_id, worker="run:host:1:2")
        with writing(engine) as session:
            release(session, run_id, worker="run:host:1:")
    assert jobs(engine, run_id)[0].attempts == 0
    for _ in range(3):
        store.refuse(engine, claimed(engine, job_id), worker="w", note="no weights here", after=-1)
        with writing(engine) as session:
            assert split_spent(session, max_attempts=1) == 0


def test_released_jobs_are_due_at_once_and_others_workers_keep_theirs(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    mine, theirs, queued = take_due(engine)
    claimed(engine, mine, worker="run:host:1:22")
    claimed(engine, theirs, worker="run:host:2:33")
    with writing(engine) as session:
        release(session, run_id, worker="run:host:1")
    assert take_due(engine) == [mine, queued]


# -- poison ------------------------------------------------------------------------------------------------------


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
            claim = claimed(engine, job_id, lease=-1 if deadly else 60)  # its worker dies without a word
            if deadly:
                attempts += 1
                continue
            rows = [predicted(image, sigma, 1, 1, 1, 1) for image in image_ids(engine, claim) for sigma in LEVELS]
            assert store.finish(engine, claim, rows, [])
    assert attempts == 3 + 1 + 1 + 3  # spans of 8, 4, 2 and 1 images: a half is told in one attempt
    assert count(engine, Prediction) == 7 * len(LEVELS)
    with reading(engine) as session:
        (lost,) = session.scalars(select(Failure))
        assert session.get_one(Image, lost.image_id).position == poison
        assert lost.code == "worker_failed"
    assert all(job.done_at for job in jobs(engine, run_id))


def test_a_worker_back_from_the_dead_cannot_finish_a_job_that_was_split(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id, lease=-1)
    with writing(engine) as session:
        assert split_spent(session, max_attempts=1) == 1
    assert [(job.first, job.last) for job in jobs(engine, run_id)] == [(0, 1), (2, 3)]
    assert not store.finish(engine, claim, [predicted(image, 0.0, 9, 9, 9, 9) for image in range(1, 5)], [])
    assert count(engine, Prediction) == 0


def test_a_name_that_holds_wild_cards_releases_nothing_else(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    (job_id,) = take_due(engine)
    claimed(engine, job_id, worker="run:host:1")
    with writing(engine) as session:
        release(session, run_id, worker="run:%")
    assert take_due(engine) == []


def test_a_finished_run_has_one_row_an_image_and_level(engine: Engine) -> None:
    run_id = record(engine, [0] * 10)
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 10 * len(LEVELS)
    assert RECIPE.levels == LEVELS


def test_a_run_that_is_given_back_again_and_again_keeps_no_other_waiting(engine: Engine) -> None:
    record(engine, [0] * 8, job_size=1)
    given_back = take_due(engine, window=4)
    for job_id in given_back:
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=0.01)
    time.sleep(0.05)
    healthy = record(engine, [0] * 8, job_size=1, fingerprint="e" * 64)
    first = [job.id for job in jobs(engine, healthy)]
    sent = take_due(engine, window=10)
    assert len(sent) == 10
    assert not set(sent) & set(given_back)  # those come last
    assert set(first[:6]) <= set(sent)


def test_jobs_that_wait_after_they_were_given_back_take_no_place_in_the_window(engine: Engine) -> None:
    record(engine, [0] * 8, job_size=1)
    for job_id in take_due(engine, window=4):
        store.refuse(engine, claimed(engine, job_id, worker="w"), worker="w", note="no root", after=60)
    assert len(take_due(engine, window=4)) == 4


def test_a_job_whose_worker_died_is_due_at_once_and_the_attempt_counts(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    first, second, third = take_due(engine)
    claimed(engine, first, worker="host:1:10")
    claimed(engine, second, worker="host:1:11")
    refusing = claimed(engine, third, worker="host:1:10")
    store.refuse(engine, refusing, worker="host:1:10", note="no weights", after=60)
    store.give_up(engine, first, worker="host:1:10")
    store.give_up(engine, second, worker="host:1:10")  # it is another's by now
    store.give_up(engine, third, worker="host:1:10")
    assert take_due(engine) == [first]
    assert [job.attempts for job in jobs(engine, run_id)] == [1, 1, 0]


def test_what_a_worker_that_was_told_to_stop_had_in_hand_is_due_at_once_and_does_not_count(engine: Engine) -> None:
    run_id = record(engine, [0] * 12)
    first, second, third = take_due(engine)
    claimed(engine, first, worker="host:1:10")
    claimed(engine, second, worker="host:12:10")  # of another worker, whose name begins alike
    claimed(engine, third, worker="host:1:11")
    store.hand_back(engine, worker="host:1:1")  # a child whose name begins theirs
    assert take_due(engine) == []
    store.hand_back(engine, worker="host:1")
    assert take_due(engine) == [first, third]
    assert [job.attempts for job in jobs(engine, run_id)] == [0, 1, 0]
