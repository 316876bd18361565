"""Failures are computed again, each once, and what was found for other images stays."""

from rows import (
    CERTIFICATE,
    LEVELS,
    all_image_ids,
    claimed,
    count,
    failed,
    finish_all,
    image_ids,
    jobs,
    predicted,
    record,
)
from sqlalchemy import Engine, select

from db import store
from db.found import Computer, Counted
from db.retry import codes, retry
from db.runs import find_run, progress
from db.session import reading
from db.summaries import summarise
from db.tables import Count, Failure, Prediction, Summary
from report.report import report


def run_with_failures(engine: Engine, broken: set[int], *, images: int = 10) -> str:
    """A complete run in jobs of four images, of which those at some positions failed."""
    run_id = record(engine, [1] * images, job_size=4)
    with reading(engine) as session:
        ids = all_image_ids(session)
    for job in jobs(engine, run_id):
        claim = claimed(engine, job.id)
        found = [image for image in image_ids(engine, claim) if ids.index(image) not in broken]
        rows = [predicted(image, level, 1, 1, 1, 1) for image in found for level in LEVELS]
        failures = [failed(ids[at], "missing") for at in range(claim.first, claim.last + 1) if at in broken]
        assert store.finish(engine, claim, rows, failures)
    return run_id


def spans(engine: Engine, run_id: str, *, done: bool) -> list[tuple[int, int]]:
    return [(job.first, job.last) for job in jobs(engine, run_id) if bool(job.done_at) == done]


def test_failed_images_are_cut_out_of_their_jobs_and_due_again(engine: Engine) -> None:
    run_id = run_with_failures(engine, {0, 4, 5, 7, 9})
    assert retry(engine, run_id, "missing") == 5
    assert spans(engine, run_id, done=False) == [(0, 0), (4, 5), (7, 7), (9, 9)]
    assert spans(engine, run_id, done=True) == [(1, 3), (6, 6), (8, 8)]
    with reading(engine) as session:
        state = progress(session, find_run(session, run_id))
        assert (state.done, state.failed, state.expected) == (5, 0, 10)
        assert [level.pending for level in report(session, find_run(session, run_id)).levels] == [5, 5]


def test_after_a_retry_each_image_is_predicted_once(engine: Engine) -> None:
    run_id = run_with_failures(engine, {0, 4, 5, 7, 9})
    retry(engine, run_id, "missing")
    finish_all(engine, run_id)
    assert (count(engine, Prediction), count(engine, Failure)) == (10 * len(LEVELS), 0)
    with reading(engine) as session:
        assert report(session, find_run(session, run_id)).complete


def test_what_stays_says_still_what_computed_it(engine: Engine) -> None:
    run_id = record(engine, [1] * 3, job_size=3)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    first, second, third = image_ids(engine, claim)
    rows = [predicted(image, level, 1, 1, 1, 1) for image in (first, third) for level in LEVELS]
    assert store.finish(engine, claim, rows, [failed(second, "missing")], computer=Computer("H200", "graph bf16"))
    retry(engine, run_id, "missing")
    assert [(job.first, job.device, job.engine) for job in jobs(engine, run_id)] == [
        (0, "H200", "graph bf16"),
        (1, None, None),
        (2, "H200", "graph bf16"),
    ]


def test_only_failures_of_the_code_are_computed_again(engine: Engine) -> None:
    run_id = record(engine, [1] * 4, job_size=4)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    first, second, *others = image_ids(engine, claim)
    rows = [predicted(image, level, 1, 1, 1, 1) for image in others for level in LEVELS]
    assert store.finish(engine, claim, rows, [failed(first, "missing"), failed(second, "truncated")])
    with reading(engine) as session:
        assert codes(session, run_id) == {"missing": 1, "truncated": 1}
    assert retry(engine, run_id, "missing") == 1
    assert spans(engine, run_id, done=False) == [(0, 0)]
    with reading(engine) as session:
        assert codes(session, run_id) == {"truncated": 1}


def test_the_stored_counts_of_the_run_are_dropped(engine: Engine) -> None:
    run_id = run_with_failures(engine, {3})
    with reading(engine) as session:
        run = find_run(session, run_id)
    summarise(engine, run)
    assert count(engine, Summary) == len(LEVELS)
    retry(engine, run_id, "missing")
    assert count(engine, Summary) == 0
    finish_all(engine, run_id)
    with reading(engine) as session:
        assert [level.predicted for level in report(session, run).levels] == [10, 10]


def test_a_worker_that_comes_back_late_cannot_end_the_new_job(engine: Engine) -> None:
    run_id = record(engine, [1], job_size=1)
    (job,) = jobs(engine, run_id)
    late = claimed(engine, job.id, worker="late", lease=-1)
    claim = claimed(engine, job.id)
    (image,) = image_ids(engine, claim)
    assert store.finish(engine, claim, [], [failed(image, "missing")])
    retry(engine, run_id, "missing")
    assert not store.finish(engine, late, [], [failed(image, "missing")])
    finish_all(engine, run_id)
    assert count(engine, Prediction) == len(LEVELS)


def test_of_a_certificate_all_copies_of_the_image_are_counted_again(engine: Engine) -> None:
    """The second job is in hand and has left the image out: its result must not stand for the new one."""
    run_id = record(engine, [1, 1, 1], recipe=CERTIFICATE, copies=510, job_size=3)
    first, second = jobs(engine, run_id)
    assert first.copies_first == 0 < second.copies_first

    def counted(images: list[int], part: int) -> list[Counted]:
        levels = CERTIFICATE.levels
        return [Counted(image_id=image, level=level, part=part, label=1, n=10) for image in images for level in levels]

    claim = claimed(engine, first.id)
    one, broken, three = image_ids(engine, claim)
    assert store.finish(engine, claim, [], [failed(broken, "missing")], counted([one, three], 0))
    in_hand = claimed(engine, second.id, worker="in hand")
    assert image_ids(engine, in_hand) == [one, three]
    retry(engine, run_id, "missing")
    assert not store.finish(engine, in_hand, [], [], counted([one, three], second.copies_first))
    for job in jobs(engine, run_id):
        if job.done_at is None:
            claim = claimed(engine, job.id)
            images = image_ids(engine, claim)
            assert images == ([broken] if job.copies_first == 0 else [one, broken, three])
            assert store.finish(engine, claim, [], [], counted(images, job.copies_first))
    with reading(engine) as session:
        assert progress(session, find_run(session, run_id)).complete
        assert set(session.scalars(select(Count.n))) == {10}
    assert count(engine, Count) == 3 * 2 * len(CERTIFICATE.levels)
