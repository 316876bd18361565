"""A stopwatch adds up the time of every thread."""

import time
from concurrent.futures import ThreadPoolExecutor

from worker.stopwatch import Stopwatch


def test_stages_add_up_over_threads_and_keep_their_order() -> None:
    watch = Stopwatch()

    def work(_: int) -> None:
        with watch.on("decode"):
            time.sleep(0.02)
        with watch.on("model"):
            pass

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(watch.seconds) == ["decode", "model"]
    assert watch.seconds["decode"] >= 0.08
    assert str(watch).startswith("decode 0.")


def test_a_stage_that_fails_counts_too() -> None:
    watch = Stopwatch()
    try:
        with watch.on("model"):
            raise ValueError
    except ValueError:
        pass
    assert "model" in watch.seconds
