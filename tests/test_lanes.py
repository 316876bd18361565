"""Lanes work side by side, in order, and take a bounded number of items ahead."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
import torch

from worker.lanes import batched, spread


def test_results_come_in_the_order_of_the_items_whichever_is_ready_first() -> None:
    def slower_first(number: int) -> int:
        time.sleep(0.02 / (number + 1))
        return number * number

    assert list(spread(slower_first, range(9), lanes=3, threads=1)) == [n * n for n in range(9)]


def test_lanes_work_side_by_side() -> None:
    both = threading.Barrier(2, timeout=30)  # one lane alone would wait until the timeout
    assert len(list(spread(lambda _: both.wait(), range(4), lanes=2, threads=1))) == 4


def test_at_most_two_items_a_lane_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = spread(lambda number: number, items(), lanes=2, threads=1)
    next(results)
    assert len(taken) == 5
    results.close()
    assert len(taken) == 5


def test_an_error_in_a_lane_is_raised_by_the_caller_and_ends_the_other_lanes() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        list(spread(fail, range(50), lanes=2, threads=1))
    assert len(begun) <= 4
    assert not any(thread.name.startswith("lane") for thread in threading.enumerate())


def test_jobs_share_the_lanes_and_the_next_ones_items_follow_the_last_items_of_the_one_before() -> None:
    order, lanes = list[str](), set[int]()
    begun, go_on = threading.Event(), threading.Event()

    def do(name: str) -> str:
        begun.set()
        assert go_on.wait(30)
        order.append(name)
        lanes.add(threading.get_ident())
        return name

    def job(name: str) -> list[str]:
        return list(spread(do, [f"{name}{number}" for number in range(6)], lanes=1, threads=1))

    with ThreadPoolExecutor(2) as jobs:
        first = jobs.submit(job, "a")
        assert begun.wait(30)
        second = jobs.submit(job, "b")
        go_on.set()
        assert first.result() == ["a0", "a1", "a2", "a3", "a4", "a5"]
        assert second.result() == ["b0", "b1", "b2", "b3", "b4", "b5"]
    assert order == [*first.result(), *second.result()]
    assert len(lanes) == 1
    assert not any(thread.name.startswith("lane") for thread in threading.enumerate())


def test_an_error_of_one_job_is_not_that_of_the_next() -> None:
    go_on = threading.Event()

    def do(number: int) -> int:
        assert go_on.wait(30)
        return 1 // number

    with ThreadPoolExecutor(2) as jobs:
        bad = jobs.submit(lambda: list(spread(do, [0] * 9, lanes=2, threads=1)))
        good = jobs.submit(lambda: list(spread(do, [1] * 9, lanes=2, threads=1)))
        go_on.set()
        assert isinstance(bad.exception(), ZeroDivisionError)
        assert good.result() == [1] * 9


def test_a_lane_shows_the_signs_of_life_of_the_job_that_it_works_for() -> None:
    about: ContextVar[str] = ContextVar("about")
    about.set("this job")
    assert list(spread(lambda _: about.get(), range(3), lanes=2, threads=1)) == ["this job"] * 3


def test_a_lane_has_the_threads_it_is_given_and_the_caller_keeps_its_own() -> None:
    before = torch.get_num_threads()
    assert set(spread(lambda _: torch.get_num_threads(), range(4), lanes=2, threads=1)) == {1}
    assert torch.get_num_threads() == before


def test_the_last_group_holds_the_rest() -> None:
    assert list(batched("abcde", 2)) == [("a", "b"), ("c", "d"), ("e",)]
