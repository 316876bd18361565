"""Lanes: threads, each of which takes a group of images from file to answer, so that one decodes while another
computes. The jobs that a process has in hand share them.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from itertools import islice
from threading import Lock
from typing import TypeVar

import torch

from worker.stall import alive
from worker.turns import LOOK, in_turn

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(do: Callable[[Item], Result], items: Iterable[Item], *, lanes: int, threads: int) -> Generator[Result]:
    """Calls ``do`` on each item in some threads, and yields the results in the items' order.

    At most two items a lane are taken ahead of the result that is yielded, so that memory stays bounded. Callers in
    several threads share the lanes. They take turns: the next one's first items follow the last items of the one before
    it, so that no lane idles between two jobs, and jobs end one after the other.

    Args:
        do: called in any of the lanes. Its errors are raised here.
        items: the items.
        lanes: number of threads.
        threads: number of threads that PyTorch may use in each lane.

    Raises:
        Stopped: if this process was told to stop before the first item was taken.
    """
    rest = iter(items)
    ahead: deque[Future[Result]] = deque()
    with _shared(lanes, threads) as shared, ExitStack() as turn:
        turn.enter_context(in_turn(shared.turn))

        def take(most: int) -> None:
            before = len(ahead)
            # In a copy of this context, so that a lane shows the signs of life of the job that it works for.
            ahead.extend(shared.pool.submit(copy_context().run, do, item) for item in islice(rest, most))
            if len(ahead) < before + most:
                turn.close()

        try:
            take(2 * lanes)
            while ahead:
                result = _result(ahead.popleft())
                take(1)
                yield result
        finally:
            wait([future for future in ahead if not future.cancel()])


def _result(future: Future[Result]) -> Result:
    """Waits for a result. As long as its item waits for those of the job before it, that is no stall."""
    while not (future.running() or future.done()):
        wait([future], LOOK)
        alive()
    return future.result()


class Lanes:
    """Some threads, and the turn to give them work."""

    def __init__(self, lanes: int, threads: int) -> None:
        # PyTorch keeps this setting for each thread separately.
        self.pool = ThreadPoolExecutor(lanes, "lane", initializer=torch.set_num_threads, initargs=(threads,))
        self.turn = Lock()
        self.users = 0


_LANES: dict[tuple[int, int], Lanes] = {}
_COUNTING = Lock()


@contextmanager
def _shared(lanes: int, threads: int) -> Iterator[Lanes]:
    """The lanes of this number. They end with the last of those who use them."""
    key = (lanes, threads)
    with _COUNTING:
        shared = _LANES.setdefault(key, Lanes(lanes, threads))
        shared.users += 1
    try:
        yield shared
    finally:
        with _COUNTING:
            shared.users -= 1
            last = not shared.users
            if last:
                del _LANES[key]
        if last:
            shared.pool.shutdown()


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Groups items by ``size``; the last group may be smaller. Python 3.12 has it as itertools.batched."""
    rest = iter(items)
    while group := tuple(islice(rest, size)):
        yield group
