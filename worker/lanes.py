"""Lanes: threads that each take a group of images all the way, so that one decodes while another computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(do: Callable[[Item], Result], items: Iterable[Item], *, lanes: int, threads: int) -> Generator[Result]:
    """What ``do`` makes of each item, in their order, some of them at the same time.

    Items are taken as lanes get free, and never more than two a lane ahead: memory stays bounded.

    Args:
        do: called in any of the lanes. What it raises is raised here.
        items: to be done.
        lanes: how many are done at a time.
        threads: how many threads PyTorch may take in each of them.
    """
    # PyTorch's setting holds for the thread that makes it, and the threads of OpenMP under it.
    pool = ThreadPoolExecutor(lanes, "lane", initializer=torch.set_num_threads, initargs=(threads,))
    rest = iter(items)
    ahead: deque[Future[Result]] = deque()
    try:
        ahead.extend(pool.submit(do, item) for item in islice(rest, 2 * lanes))
        while ahead:
            result = ahead.popleft().result()
            ahead.extend(pool.submit(do, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


def batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Items in groups of that size, the last one shorter: itertools.batched, which came with Python 3.12."""
    rest = iter(items)
    while group := tuple(islice(rest, size)):
        yield group
