"""Certified runs in the record: jobs of some copies, counts that are stored once, and more copies later."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from rows import CERTIFICATE, claimed, count, failed, image_ids, jobs, record, take_due
from sqlalchemy import Engine, select

from db import store
from db.axis import NOISE
from db.due import split_spent
from db.errors import WrongUse
from db.found import Counted
from db.recipe import make_recipe
from db.runs import Progress, find_run, progress
from db.session import reading, writing
from db.tables import Count, Failure, Job, Run
from producer.dataset import Dataset
from producer.submit import copies_of, default_name, submit


def certificate(engine: Engine, images: int, *, n: int, job_size: int | None = None) -> str:
    return record(engine, [0] * images, recipe=CERTIFICATE, job_size=job_size, copies=10 + n)


def spans(engine: Engine, run_id: str) -> list[tuple[int, int, int, int]]:
    return [(job.first, job.last, job.copies_first, job.copies_last) for job in jobs(engine, run_id)]


def state(engine: Engine, run_id: str) -> Progress:
    with reading(engine) as session:
        return progress(session, find_run(session, run_id))


def counted(image_id: int, part: int, label: int, n: int, *, level: float = 0.25) -> Counted:
    return Counted(image_id=image_id, level=level, part=part, label=label, n=n)


# -- submit --------------------------------------------------------------------------------------------------------


def test_a_job_says_which_copies_of_its_images_it_is_for(engine: Engine) -> None:
    # 10 + 190 copies at two levels are 400 views an image, so a job has two images.
    run_id = certificate(engine, 3, n=190)
    assert spans(engine, run_id) == [(0, 1, 0, 199), (2, 2, 0, 199)]
    claim = claimed(engine, jobs(engine, run_id)[1].id)
    work = claim.work()
    assert claim.copies == work.copies == (0, 199)
    assert work.recipe == CERTIFICATE
    assert [entry.path for _, entry in work.images] == ["2.jpg"]


def test_more_copies_add_jobs_for_the_missing_ones_only(engine: Engine) -> None:
    run_id = certificate(engine, 2, n=200, job_size=2)
    before = spans(engine, run_id)
    assert before == [(0, 1, 0, 209)]
    assert certificate(engine, 2, n=1000, job_size=2) == run_id
    # 500 copies at two levels are 1,000 views: five parts of 100, then the three that are left.
    assert spans(engine, run_id) == [*before, (0, 1, 210, 709), (0, 1, 710, 1009)]
    with reading(engine) as session:
        assert find_run(session, run_id).copies == 1010


def test_fewer_copies_or_the_same_change_nothing(engine: Engine) -> None:
    run_id = certificate(engine, 2, n=200)
    before = spans(engine, run_id)
    for n in (200, 50):
        certificate(engine, 2, n=n)
        assert spans(engine, run_id) == before
        assert state(engine, run_id).copies == 210


def test_two_producers_that_ask_for_more_copies_at_once_add_them_once(engine: Engine) -> None:
    run_id = certificate(engine, 20, n=100)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: certificate(engine, 20, n=300), range(4)))
    with reading(engine) as session:
        shares = session.execute(select(Job.first, Job.last, Job.copies_first, Job.copies_last)).all()
    copies = [
        (image, copy)
        for first, last, copies_first, copies_last in shares
        for image in range(first, last + 1)
        for copy in range(copies_first, copies_last + 1)
    ]
    assert len(copies) == len(set(copies)) == 20 * 310
    assert state(engine, run_id).copies == 310


def test_submit_counts_the_copies_of_a_certificate_and_refuses_them_for_a_vote(engine: Engine) -> None:
    dataset = Dataset(
        name="photos",
        root="/photos",
        fingerprint="f",
        size=1,
        found=1,
        labelled=1,
        entries=[store.Entry(path="a", label=1, bytes=1)],
    )
    for n, new in ((50, True), (100, False)):
        made = submit(engine, CERTIFICATE, dataset, n=n, axis=NOISE)
        assert made.new is new
        assert state(engine, made.run_id).copies == 10 + n
    assert default_name(CERTIFICATE, dataset) == "photos-efficientnet_lite0-certificate-n0-10"
    usual = CERTIFICATE.content() | {"selection": 100}
    assert default_name(make_recipe(**usual), dataset) == "photos-efficientnet_lite0-certificate"
    stops = usual | {"stop_radius": 0.25, "stop_alpha": 0.01, "stop_n": 200}
    assert default_name(make_recipe(**stops), dataset) == "photos-efficientnet_lite0-certificate-stop-0.25"
    vote = CERTIFICATE.model_copy(update={"selection": None})
    assert copies_of(vote, None) == 1
    with pytest.raises(WrongUse, match=r"^--n: 50 copies are for a certificate"):
        submit(engine, vote, dataset, n=50)
    for none in (None, 0):
        with pytest.raises(WrongUse, match=r"^--n: a certificate needs at least one"):
            submit(engine, CERTIFICATE, dataset, n=none)


# -- results -------------------------------------------------------------------------------------------------------


def test_counts_are_stored_once_whoever_finishes_first(engine: Engine) -> None:
    run_id = certificate(engine, 1, n=90)
    first = claimed(engine, jobs(engine, run_id)[0].id, lease=-1)
    second = claimed(engine, first.id, worker="another")
    (image,) = image_ids(engine, first)
    assert store.finish(
        engine, second, [], [], [counted(image, 0, 7, 10), counted(image, 10, 7, 60), counted(image, 10, 8, 30)]
    )
    assert not store.finish(engine, first, [], [], [counted(image, 0, 9, 10)])
    with reading(engine) as session:
        found = session.execute(select(Count.part, Count.label, Count.n).order_by(Count.part, Count.label)).all()
    assert [tuple(row) for row in found] == [(0, 7, 10), (10, 7, 60), (10, 8, 30)]


def test_progress_is_complete_once_every_copy_of_every_image_is_done(engine: Engine) -> None:
    run_id = certificate(engine, 4, n=990, job_size=2)  # parts of 10 + 4 × 100, 5 × 100 and 90 copies; two images each
    assert len(jobs(engine, run_id)) == 6
    seen = []
    for job in jobs(engine, run_id):
        assert store.finish(engine, claimed(engine, job.id), [], [])
        now = state(engine, run_id)
        seen.append((now.done_copies, now.done, now.complete))
    # Of 4 × 1,000 copies; `done` is their number divided by 1,000.
    assert seen == [
        (820, 0, False), (1640, 1, False), (2640, 2, False), (3640, 3, False), (3820, 3, False), (4000, 4, True)
    ]  # fmt: skip
    certificate(engine, 4, n=1990)
    after = state(engine, run_id)
    assert (after.done_copies, after.done, after.copies, after.complete) == (4000, 2, 2000, False)


def test_forget_keeps_a_run_that_has_counts(engine: Engine) -> None:
    run_id = certificate(engine, 1, n=90)
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    store.finish(engine, claim, [], [], [counted(image, 0, 1, 10) for image in image_ids(engine, claim)])
    with writing(engine) as session:
        store.forget(session, run_id)
    assert [count(engine, table) for table in (Run, Count)] == [1, 1]


# -- what goes wrong -----------------------------------------------------------------------------------------------


def test_both_halves_of_a_split_job_keep_its_copies(engine: Engine) -> None:
    run_id = certificate(engine, 4, n=1000, job_size=4)
    later = jobs(engine, run_id)[1]
    assert (later.first, later.last, later.copies_first, later.copies_last) == (0, 3, 410, 909)
    claimed(engine, later.id, lease=-1)
    with writing(engine) as session:
        assert split_spent(session, max_attempts=1) == 1
    assert spans(engine, run_id)[1:3] == [(0, 1, 410, 909), (2, 3, 410, 909)]


def test_an_image_that_failed_is_left_out_of_the_jobs_of_its_other_copies(engine: Engine) -> None:
    run_id = certificate(engine, 2, n=1000, job_size=2)
    first, second, third = jobs(engine, run_id)
    claim = claimed(engine, first.id)
    bad, good = image_ids(engine, claim)
    store.finish(engine, claim, [], [failed(bad)], [counted(good, 0, 1, 10)])
    assert image_ids(engine, claimed(engine, second.id)) == [good]
    other = record(engine, [0] * 2, fingerprint="f" * 64)  # a vote over the same images
    assert image_ids(engine, claimed(engine, jobs(engine, other)[0].id)) == [bad, good]
    # Somebody had the third job in hand already: its own failure of the image is not stored a second time.
    store.finish(engine, claimed(engine, third.id), [], [failed(bad, "missing")], [])
    with reading(engine) as session:
        assert session.scalars(select(Failure.code)).all() == ["truncated"]


def test_an_image_that_ends_its_workers_is_not_tried_again_for_its_other_copies(engine: Engine) -> None:
    run_id = certificate(engine, 1, n=1000)
    first, second, third = take_due(engine)
    claimed(engine, first, lease=-1)
    with writing(engine) as session:
        assert split_spent(session, max_attempts=1) == 1
    for job_id in (second, third):
        claim = claimed(engine, job_id)
        assert image_ids(engine, claim) == []
        assert store.finish(engine, claim, [], [])
    done = state(engine, run_id)
    assert (done.complete, done.done, done.failed) == (True, 1, 1)
