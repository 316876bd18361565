"""Workers that are told to stop: they finish the job in hand, or hand it back."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from signal import SIGINT, SIGQUIT, SIGTERM, SIGUSR2

import pytest
from place import Place
from rows import jobs

from benchmarks.known import HANG

Worker = subprocess.Popen[bytes]


def to_parent(worker: Worker, number: signal.Signals) -> None:
    worker.send_signal(number)


def to_group(worker: Worker, number: signal.Signals) -> None:
    """As a service manager sends SIGTERM to all processes of a service, and a terminal Ctrl-C to all of a command."""
    os.killpg(worker.pid, number)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("send", [to_parent, to_group])
def test_a_worker_told_to_stop_finishes_the_job_in_hand_and_takes_no_other(
    place: Place, send: Callable[..., None], number: signal.Signals
) -> None:
    run_id = place.record(["a", "b", "c"], job_size=1)
    with place.worker(JOB_TAKES="1.5") as worker:
        place.until(lambda: place.begun())
        send(worker, number)
        code = worker.wait(30)
    assert code == (0 if number == SIGTERM else 1)
    assert [(bool(job.done_at), job.attempts) for job in jobs(place.engine, run_id)] == [
        (True, 1),
        (False, 0),
        (False, 0),
    ]
    assert place.begun() == 1
    assert place.predicted() == {"a"}
    assert "failed" not in place.log()


@pytest.mark.parametrize(
    ("image", "send", "numbers"),
    [
        ("slow", to_parent, [SIGTERM]),
        ("slow", to_parent, [SIGQUIT]),
        ("slow", to_group, [SIGINT, SIGINT]),
        (HANG, to_group, [SIGTERM]),  # deaf to every signal but SIGKILL
    ],
    ids=["SIGTERM", "SIGQUIT", "Ctrl-C twice", "SIGTERM to the group, of which a child hangs"],
)
def test_a_job_that_takes_longer_than_the_grace_is_handed_back_and_does_not_count(
    place: Place, image: str, send: Callable[..., None], numbers: list[signal.Signals]
) -> None:
    run_id = place.record([image], job_size=1)
    with place.worker(JOB_TAKES="600", SMOOTHVOTE_GRACE="1") as worker:
        place.until(lambda: place.begun())
        for number in numbers:
            send(worker, number)
            time.sleep(0.3)
        worker.wait(20)
    (job,) = jobs(place.engine, run_id)
    assert (job.attempts, job.sent_at, job.leased_until, job.worker) == (0, None, None, None)
    assert place.send() == 1, "it is due at once"


def test_a_child_ends_at_its_parents_own_signal_and_another_takes_its_place(place: Place) -> None:
    place.record(["a"], job_size=1)
    with place.worker(JOB_TAKES="5"):
        place.until(lambda: place.begun() == 1)
        child = json.loads(place.trace().splitlines()[0])["pid"]
        os.kill(child, SIGTERM)  # is ignored
        os.kill(child, SIGUSR2)
        place.until(lambda: place.begun() == 2)
    assert f"process {child} failed" in place.log()
    assert "SIGTERM" not in place.log()
