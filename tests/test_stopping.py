"""Workers that are told to stop: they finish the job in hand, or hand it back."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGQUIT, SIGTERM

import pytest
from place import Place
from rows import jobs

from benchmarks.known import HANG

Worker = subprocess.Popen[bytes]


def to_supervisor(worker: Worker, number: signal.Signals) -> None:
    worker.send_signal(number)


def to_group(worker: Worker, number: signal.Signals) -> None:
    """As a service manager sends SIGTERM to all processes of a service, and a terminal Ctrl-C to all of a command."""
    os.killpg(worker.pid, number)


@pytest.mark.parametrize("number", [SIGTERM, SIGINT], ids=["SIGTERM", "Ctrl-C"])
@pytest.mark.parametrize("send", [to_supervisor, to_group])
def test_a_worker_told_to_stop_finishes_the_job_in_hand_and_takes_no_other(
    place: Place, send: Callable[..., None], number: signal.Signals
) -> None:
    run_id = place.record(["a", "b", "c"], job_size=1)
    with place.worker(JOB_TAKES="1.5") as worker:
        place.until(lambda: place.begun())
        send(worker, number)
        code = worker.wait(30)
    assert code == (0 if number == SIGTERM else 1)
    # Of the two in hand, one is computed, and the other has only been claimed.
    assert sorted((bool(job.done_at), job.attempts) for job in jobs(place.engine, run_id)) == [
        (False, 0),
        (False, 0),
        (True, 1),
    ]
    assert place.begun() == len(place.predicted()) == 1
    assert not place.redis.client.exists("unacked")
    assert "failed" not in place.log()


@pytest.mark.parametrize(
    ("image", "send", "numbers"),
    [
        ("slow", to_supervisor, [SIGTERM]),
        ("slow", to_supervisor, [SIGQUIT]),
        ("slow", to_group, [SIGINT, SIGINT]),
        (HANG, to_group, [SIGTERM]),  # deaf to every signal but SIGKILL
    ],
    ids=["SIGTERM", "SIGQUIT", "Ctrl-C twice", "SIGTERM to the group, of which a process hangs"],
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


def test_a_process_that_is_told_to_stop_alone_finishes_its_job_and_another_takes_its_place(place: Place) -> None:
    run_id = place.record(["a", "b"], job_size=1)
    with place.worker(JOB_TAKES="1.5"):
        place.until(lambda: place.begun() == 1)
        os.kill(json.loads(place.trace().splitlines()[0])["pid"], SIGTERM)
        place.until(place.done)
    assert len({json.loads(line)["pid"] for line in place.trace().splitlines()}) == 2
    assert [job.attempts for job in jobs(place.engine, run_id)] == [1, 1]


def test_the_processes_of_a_supervisor_that_is_killed_end_with_it(place: Place) -> None:
    place.record(["a"], job_size=1)
    with place.worker(JOB_TAKES="600") as worker:
        place.until(lambda: place.begun())
        process = json.loads(place.trace().splitlines()[0])["pid"]
        worker.kill()
        place.until(lambda: not is_running(process), 5, sending=False)


def is_running(pid: int) -> bool:
    """Whether a process does anything still: one that nobody has waited for is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
