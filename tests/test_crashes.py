"""Worker processes that die, hang or lose their device in the middle of a job."""

from datetime import UTC, datetime

from place import Place
from rows import jobs

from benchmarks.known import HANG, POINTS, POISON


def test_children_killed_at_any_point_of_a_job_lose_and_double_nothing(place: Place) -> None:
    run_id = place.record(list("abcdefghij"), job_size=2)
    for point in POINTS:
        (place.faults / point).write_text("child")
    with place.worker(SMOOTHVOTE_LEASE="2") as worker:
        place.until(place.done)
        assert worker.poll() is None
    assert all(place.trace().count(f"killed at {point}") == 1 for point in POINTS)
    assert place.predicted() == set("abcdefghij")
    assert place.failed() == {}
    # Each job meets one fault. Killed before its acknowledgement, it is done already.
    assert sorted(job.attempts for job in jobs(place.engine, run_id)) == [1, 2, 2, 2, 2]


def test_parents_killed_at_any_point_of_a_job_lose_and_double_nothing(place: Place) -> None:
    run_id = place.record(list("abcdefghij"), job_size=2)
    for point in POINTS:
        (place.faults / point).write_text("parent")
        with place.worker(SMOOTHVOTE_LEASE="2") as worker:
            place.until(lambda: worker.poll() is not None)
    with place.worker():
        place.until(place.done)
    assert all(place.trace().count(f"killed at {point}") == 1 for point in POINTS)
    assert place.predicted() == set("abcdefghij")
    assert place.failed() == {}
    # Four jobs were killed before they were done: each of these kills cost one attempt.
    assert sum(job.attempts for job in jobs(place.engine, run_id)) == 5 + 4


def test_a_job_whose_process_died_is_due_at_once_and_not_when_its_lease_ends(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    (place.faults / "forward").write_text("child")
    with place.worker(SMOOTHVOTE_LEASE="3600"):
        place.until(place.done)
    assert jobs(place.engine, run_id)[0].attempts == 2
    assert "Worker exited prematurely: signal 9 (SIGKILL) Job: 0.; it is due again" in place.log()


def test_an_image_that_ends_its_workers_is_found_and_its_neighbours_are_predicted(place: Place) -> None:
    run_id = place.record(["a", "b", POISON, "d"], job_size=4)
    place.settings = place.settings.model_copy(update={"max_attempts": 2})
    with place.worker():
        place.until(place.done, 120)
    assert place.predicted() == {"a", "b", "d"}
    assert place.failed() == {
        POISON: ("worker_failed", "in each of 2 attempts at this image: the worker died or stopped answering")
    }
    # 2 attempts at the whole job, 1 at the half with the image, 2 at the image alone; and 1 each at the other half and
    # at the image's neighbour.
    assert [(job.first, job.last, job.attempts) for job in jobs(place.engine, run_id)][1] == (2, 2, 2)
    assert place.begun() == 2 + 1 + 2 + 1 + 1


def test_an_image_that_hangs_with_pythons_lock_held_is_found_too(place: Place) -> None:
    place.record([HANG, "b"], job_size=2)
    place.settings = place.settings.model_copy(update={"max_attempts": 1})
    with place.worker(SMOOTHVOTE_STALL="1"):
        place.until(place.done, 120)
    assert place.predicted() == {"b"}
    assert place.failed()[HANG][0] == "worker_failed"
    assert "Timeout (0:00:01)!" in place.log()  # followed by where it hung


def test_a_broken_device_costs_its_process_and_no_attempt(place: Place) -> None:
    run_id = place.record(["a", "b"], job_size=1)
    (place.faults / "device").write_text("broken")
    with place.worker():
        place.until(lambda: place.predicted())
    given_back, done = sorted(jobs(place.engine, run_id), key=lambda job: job.attempts)
    assert (given_back.attempts, given_back.done_at, done.attempts) == (0, None, 1)
    assert given_back.note == (
        "its device failed, and its process with it: cuda:0: an illegal memory access was encountered"
    )
    assert given_back.refused_by not in (None, done.worker)  # another child of the same parent
    assert given_back.leased_until is not None  # its own death does not make it due sooner
    assert given_back.leased_until > datetime.now(UTC)
