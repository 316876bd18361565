"""Datasets, runs and results in the database: recorded once, however many submit or finish at the same time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import LEVELS, PREPROCESSING, RECIPE, claimed, count, failed, finish_all, image_ids, jobs, predicted, record
from sqlalchemy import Engine, select, update

from db import store, submission
from db.due import split_spent
from db.errors import Refusal, WrongUse
from db.recipe import make_recipe
from db.session import reading, writing
from db.store import Entry
from db.tables import Dataset, Failure, Image, Job, Prediction, Run

# -- submit --------------------------------------------------------------------------------------------------------


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


def test_a_dataset_that_moved_is_read_at_its_new_root(engine: Engine) -> None:
    run_id = record(engine, [0])
    with writing(engine) as session:
        submission.record_dataset(session, name="images", root="/elsewhere", fingerprint="f" * 64, found=1, entries=[])
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    assert claim.root == "/elsewhere"


def test_forget_deletes_a_run_without_results_and_no_other(engine: Engine) -> None:
    begun = record(engine, [0] * 4)
    finish_all(engine, begun)
    fresh = record(engine, [0] * 4, recipe=make_recipe(model="efficientnet_lite0", seed=9))
    with writing(engine) as session:
        store.forget(session, begun)
        store.forget(session, fresh)
    assert [count(engine, table) for table in (Run, Job, Prediction)] == [1, 1, 8]


# -- claims --------------------------------------------------------------------------------------------------------


def test_a_claim_holds_all_that_its_worker_needs(engine: Engine) -> None:
    run_id = record(engine, [0, None, 2, 3, 4], job_size=3)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    work = claim.work()
    assert (work.recipe, work.root, work.copies) == (RECIPE, "/images", (0, 0))
    assert [entry for _, entry in work.images] == [
        Entry(path="0.jpg", label=0, bytes=100),
        Entry(path="1.jpg", label=None, bytes=100),
        Entry(path="2.jpg", label=2, bytes=100),
    ]


def test_a_claim_knows_what_the_runs_first_worker_loaded(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    first, second = (job.id for job in jobs(engine, run_id))
    assert not claimed(engine, first).began_with("a" * 64, PREPROCESSING)
    store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING)
    claim = claimed(engine, second)
    assert claim.began_with("a" * 64, PREPROCESSING)
    assert not claim.began_with("b" * 64, PREPROCESSING)
    assert not claim.began_with("a" * 64, PREPROCESSING._replace(crop=192))


def test_a_job_whose_recipe_this_code_cannot_read_is_claimed_and_can_be_refused(engine: Engine) -> None:
    run_id = record(engine, [0])
    with writing(engine) as session:
        session.execute(update(Run).values(recipe={"model": "efficientnet_lite0", "of_a_later_version": 1}))
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    with pytest.raises(WrongUse, match="--of-a-later-version"):
        claim.work()
    store.refuse(engine, claim, worker="w", note="cannot read it", after=60)
    assert jobs(engine, run_id)[0].attempts == 0


# -- results -------------------------------------------------------------------------------------------------------


def test_a_finished_job_cannot_be_claimed_or_finished_again(engine: Engine) -> None:
    run_id = record(engine, [0])
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    (image,) = image_ids(engine, claim)
    assert store.finish(engine, claim, [predicted(image, level, 1, 1, 1, 1) for level in LEVELS], [])
    assert not store.finish(engine, claim, [predicted(image, level, 2, 2, 2, 2) for level in LEVELS], [])
    assert not store.finish(engine, claim, [], [failed(image)])
    assert store.claim(engine, claim.id, worker="w", lease=60) is None
    with reading(engine) as session:
        assert set(session.scalars(select(Prediction.label_maj))) == {1}
    assert count(engine, Failure) == 0


def test_two_workers_that_finish_one_job_at_once_store_it_once(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    rows = [predicted(image, level, 1, 1, 1, 1) for image in image_ids(engine, claim) for level in LEVELS]
    together = threading.Barrier(4)

    def finish(_: int) -> bool:
        together.wait()
        return store.finish(engine, claim, rows, [])

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(finish, range(4))) == [False, False, False, True]
    assert count(engine, Prediction) == 8


def test_a_worker_whose_lease_ended_may_still_finish_first(engine: Engine) -> None:
    run_id = record(engine, [0])
    late = claimed(engine, jobs(engine, run_id)[0].id, worker="late", lease=0.01)
    time.sleep(0.05)
    other = claimed(engine, late.id, worker="other")
    (image,) = image_ids(engine, late)
    assert store.finish(engine, late, [predicted(image, level, 1, 1, 1, 1) for level in LEVELS], [])
    assert not store.finish(engine, other, [predicted(image, level, 1, 1, 1, 1) for level in LEVELS], [])


def test_a_worker_cannot_finish_a_job_that_was_split_meanwhile(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id, lease=-1)
    with writing(engine) as session:
        assert split_spent(session, max_attempts=1) == 1
    assert [(job.first, job.last) for job in jobs(engine, run_id)] == [(0, 1), (2, 3)]
    assert not store.finish(engine, claim, [predicted(image, 0.0, 9, 9, 9, 9) for image in range(1, 5)], [])
    assert count(engine, Prediction) == 0


def test_a_finished_run_has_one_row_per_image_and_level(engine: Engine) -> None:
    run_id = record(engine, [0] * 10)
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 10 * len(LEVELS)
    assert RECIPE.levels == LEVELS


def test_all_workers_of_a_run_must_have_the_weights_and_preprocessing_of_the_first(engine: Engine) -> None:
    run_id = record(engine, [0])
    store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING)
    store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING)
    with pytest.raises(Refusal, match=f"weights_sha256 is {'b' * 64}, but run {run_id} began with {'a' * 64}"):
        store.pin_weights(engine, run_id, weights_sha256="b" * 64, preprocessing=PREPROCESSING)
    with pytest.raises(Refusal, match="preprocessing"):
        store.pin_weights(engine, run_id, weights_sha256="a" * 64, preprocessing=PREPROCESSING._replace(crop=192))
