"""A stopwatch adds up the time of every thread."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import worker.stopwatch
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


def test_the_device_is_busy_while_any_thread_uses_it_and_several_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((1.0, 2.0, 4.0, 5.0, 8.0, 9.0))
    monkeypatch.setattr(worker.stopwatch, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    whole = Stopwatch()
    with Stopwatch(whole).on("model"):  # from 1 to 5
        with Stopwatch(whole).on("attack"):  # from 2 to 4, as in another thread
            assert whole.is_on("attack")
        assert not whole.is_on("attack")
    with Stopwatch(whole).on("decode"):  # from 8 to 9
        assert whole.busy() == 4
    assert whole.so_far() == {"attack": 2, "model": 4, "decode": 1}
    assert whole.busy() == 4
