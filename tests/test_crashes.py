"""Worker processes that die, hang or lose their device in the middle of a job."""

import json
from datetime import UTC, datetime

import pytest
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
    # Four kills cost the two jobs in hand an attempt each; at the fifth, before its acknowledgement, a job is done.
    assert sum(job.attempts for job in jobs(place.engine, run_id)) <= 5 + 4 * 2


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
    # Four kills cost the jobs in hand, two at most, an attempt each.
    assert 5 + 4 <= sum(job.attempts for job in jobs(place.engine, run_id)) <= 5 + 4 * 2


def test_a_job_whose_process_died_is_due_at_once_and_not_when_its_lease_ends(place: Place) -> None:
    run_id = place.record(["a"], job_size=1)
    (place.faults / "forward").write_text("child")
    with place.worker(SMOOTHVOTE_LEASE="3600"):
        place.until(place.done)
    assert jobs(place.engine, run_id)[0].attempts == 2
    assert "ended by signal 9 (SIGKILL); jobs due again: 1" in place.log()


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
    # A slow machine may add one: a message that counted as lost, and was sent again, comes after all.
    assert 2 + 1 + 2 + 1 + 1 <= place.begun() <= 8


@pytest.mark.parametrize("max_attempts", [1, 2, 3])
def test_jobs_beside_one_that_ends_its_process_are_not_blamed_with_it(place: Place, max_attempts: int) -> None:
    names = [f"{number}" + POISON * (number == 3) for number in range(8)]
    place.record(names, job_size=1)
    place.settings = place.settings.model_copy(update={"max_attempts": max_attempts})
    with place.worker(SMOOTHVOTE_MAX_ATTEMPTS=f"{max_attempts}", JOB_TAKES="0.1"):
        place.until(place.done, 120)
    assert place.failed().keys() == {f"3{POISON}"}
    assert place.predicted() == set(names) - {f"3{POISON}"}


def test_a_job_that_was_tried_before_is_done_alone(place: Place) -> None:
    run_id = place.record(list("abcdef"), job_size=1)
    (place.faults / "forward").write_text("child")
    with place.worker(JOB_TAKES="0.3"):
        place.until(place.done)
    tried = {job.id for job in jobs(place.engine, run_id) if job.attempts == 2}
    assert 1 <= len(tried) <= 2  # the job that was killed, and the one in hand beside it
    events = [json.loads(line) for line in place.trace().splitlines()]
    killed = next(number for number, event in enumerate(events) if event["what"].startswith("killed"))
    in_hand = set[int]()
    for event in events[killed:]:
        if event["what"] == "loaded":
            in_hand.add(event["job"])
        elif event["what"] == "computed":
            in_hand.remove(event["job"])
        assert len(in_hand) < 2 or not tried & in_hand


def test_an_image_that_hangs_with_pythons_lock_held_is_found_too(place: Place) -> None:
    place.record([HANG, "b"], job_size=2)
    place.settings = place.settings.model_copy(update={"max_attempts": 1})
    with place.worker(SMOOTHVOTE_STALL="1", SMOOTHVOTE_MAX_ATTEMPTS="1"):
        place.until(place.done, 120)
    assert place.predicted() == {"b"}
    assert place.failed()[HANG][0] == "worker_failed"
    assert "Timeout (0:00:01" in place.log()  # followed by where it hung


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
