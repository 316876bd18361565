"""A process ends if one of its jobs shows no sign of life, whatever the others do, and only then."""

import subprocess
import sys
from textwrap import dedent

import pytest

SHARED = """
    import threading, time
    from worker.stall import alive, watched
    from worker.turns import patient

    def job(seconds, *, signs):
        with watched(0.5):
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                time.sleep(0.02)
                if signs:
                    alive()
"""


def ended(code: str) -> tuple[bool, str]:
    """Whether a program got to its end, and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(SHARED) + dedent(code) + "\nprint('the end')"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout == "the end\n", done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "job(3, signs=False)",
        # Its neighbour does not hide it.
        "threading.Thread(target=job, args=(6,), kwargs={'signs': True}, daemon=True).start(); job(3, signs=False)",
        # Nor does a job that holds Python's lock.
        "threading.Thread(target=job, args=(9,), kwargs={'signs': True}, daemon=True).start(); sum(range(2**60))",
    ],
    ids=["silent", "silent beside another", "Python's lock held"],
)
def test_a_process_ends_if_a_job_is_silent(code: str) -> None:
    reached, said = ended(code)
    assert not reached
    assert said.startswith("Timeout (0:00:00.")


@pytest.mark.parametrize(
    "code",
    [
        "job(2, signs=True)",
        "job(0.1, signs=False); time.sleep(2)",  # over: nothing is expected of it
        # It waits for another job, which shows signs of life.
        """
        lock = threading.Lock()
        def waits():
            with watched(0.5), patient(lock):
                pass
        waiting = threading.Thread(target=waits)
        with lock:
            waiting.start()
            job(2, signs=True)
        waiting.join()
        """,
    ],
    ids=["signs", "over", "waiting"],
)
def test_a_process_goes_on_if_its_jobs_show_signs_of_life(code: str) -> None:
    assert ended(code) == (True, "")
