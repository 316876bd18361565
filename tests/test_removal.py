"""A run is deleted with all that was found for it, and nothing of any other run."""

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import LEVELS, claimed, count, finish_all, image_ids, jobs, predicted, record
from sqlalchemy import Engine, delete, event, update

from db import removal, store
from db.errors import WrongUse
from db.recipe import make_recipe
from db.removal import REMOVED, remove, remove_datasets
from db.runs import find_run, list_runs, progress
from db.session import reading, writing
from db.summaries import summarise
from db.tables import Dataset, Failure, Image, Job, Prediction, Run, Summary

OTHER = make_recipe(model="efficientnet_lite0", levels=LEVELS, seed=1)


@pytest.fixture(autouse=True)
def small_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "AT_ONCE", 5)


def test_all_of_a_run_goes_and_its_images_with_it(engine: Engine) -> None:
    run_id = record(engine, [1] * 10)
    finish_all(engine, run_id)
    with reading(engine) as session:
        run = find_run(session, run_id)
    summarise(engine, run)
    remove(engine, run_id)
    assert [count(engine, table) for table in (Run, Job, Prediction, Failure, Summary, Image, Dataset)] == [0] * 7


def test_images_that_another_run_has_stay(engine: Engine) -> None:
    first, second = record(engine, [1] * 10), record(engine, [1] * 10, recipe=OTHER)
    other = record(engine, [1] * 3, fingerprint="e" * 64)
    for run_id in (first, second, other):
        finish_all(engine, run_id)
    remove(engine, first)
    assert count(engine, Prediction) == 13 * len(LEVELS)
    assert (count(engine, Image), count(engine, Dataset)) == (13, 2)
    remove(engine, second)
    assert (count(engine, Image), count(engine, Dataset), count(engine, Prediction)) == (3, 1, 3 * len(LEVELS))
    with reading(engine) as session:
        assert [run.id for run in list_runs(session)] == [other]


def test_the_same_submission_afterwards_is_a_new_run(engine: Engine) -> None:
    run_id = record(engine, [1] * 10)
    finish_all(engine, run_id)
    remove(engine, run_id)
    assert record(engine, [1] * 10) == run_id
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 10 * len(LEVELS)


def test_a_worker_that_has_a_job_of_the_run_stores_nothing_afterwards(engine: Engine) -> None:
    run_id = record(engine, [1] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    ids = image_ids(engine, claim)
    remove(engine, run_id)
    assert not store.finish(engine, claim, [predicted(ids[0], 0.0, 1, 1, 1, 1)], [])
    assert count(engine, Prediction) == 0


def test_a_worker_that_has_a_job_in_hand_does_not_end_it_while_its_rows_are_deleted(engine: Engine) -> None:
    """Otherwise an interrupted deletion would leave a job that is done, and has no rows."""
    run_id = record(engine, [1] * 4)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    rows = [predicted(image, level, 1, 1, 1, 1) for image in image_ids(engine, claim) for level in LEVELS]
    interrupt_before(engine, "DELETE FROM predictions")
    with pytest.raises(KeyboardInterrupt):
        remove(engine, run_id)
    assert not store.finish(engine, claim, rows, [])
    record(engine, [1] * 4)
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 4 * len(LEVELS)


def test_a_deletion_that_is_interrupted_tells_no_lie_and_can_be_undone_or_repeated(engine: Engine) -> None:
    run_id = record(engine, [1] * 10)
    finish_all(engine, run_id)
    interrupt_before(engine, "DELETE FROM predictions", times=2)
    with pytest.raises(KeyboardInterrupt):
        remove(engine, run_id)
    assert 0 < count(engine, Prediction) < 10 * len(LEVELS)
    with reading(engine) as session:
        state = progress(session, find_run(session, run_id))
    assert (state.word, state.done) == ("cancelled", 0)
    record(engine, [1] * 10)  # submitted again: what is gone is computed again
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 10 * len(LEVELS)
    remove(engine, run_id)
    assert (count(engine, Prediction), count(engine, Image)) == (0, 0)


def test_a_run_that_is_submitted_again_during_its_deletion_stays(engine: Engine) -> None:
    run_id = record(engine, [1] * 10)
    finish_all(engine, run_id)
    after(engine, transaction=4, do=lambda: record(engine, [1] * 10))
    with pytest.raises(WrongUse, match=f"run {run_id} was submitted again, or deleted by another command"):
        remove(engine, run_id)
    finish_all(engine, run_id)
    assert count(engine, Prediction) == 10 * len(LEVELS)


def test_a_submission_that_waits_for_the_deletion_of_its_dataset_records_it_anew(engine: Engine) -> None:
    record(engine, [1] * 10)
    with ThreadPoolExecutor() as threads, writing(engine) as session:
        session.execute(delete(Run))
        session.execute(update(Dataset).values(fingerprint=REMOVED + Dataset.fingerprint))
        submission = threads.submit(record, engine, [1] * 10)
        time.sleep(0.3)  # so that it waits, for the row or for the file
        session.commit()
        submission.result(30)
    remove_datasets(engine)
    assert [count(engine, table) for table in (Run, Dataset, Image)] == [1, 1, 10]


def interrupt_before(engine: Engine, beginning: str, *, times: int = 1) -> None:
    """Ctrl-C before the first, or a later, statement that begins so."""
    left = iter(range(times - 1))

    def interrupt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(beginning) and next(left, None) is None:
            event.remove(engine, "before_cursor_execute", interrupt)
            raise KeyboardInterrupt

    event.listen(engine, "before_cursor_execute", interrupt)


def after(engine: Engine, *, transaction: int, do: Callable[[], object]) -> None:
    """Does something after so many transactions."""
    seen = itertools.count(1)

    def look(*_: object) -> None:
        if next(seen) == transaction:
            do()

    event.listen(engine, "checkin", look)
