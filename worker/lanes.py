"""Lanes: threads, each of which takes a group of images from file to answer, so that one decodes while another
computes.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(do: Callable[[Item], Result], items: Iterable[Item], *, lanes: int, threads: int) -> Generator[Result]:
    """Calls ``do`` on each item in some threads, and yields the results in the items' order.

    At most two items a lane are taken ahead of the result that is yielded, so that memory stays bounded.

    Args:
        do: called in any of the lanes. Its errors are raised here.
        items: the items.
        lanes: number of threads.
        threads: number of threads that PyTorch may use in each lane.
    """
    # PyTorch keeps this setting for each thread separately.
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
    """Groups items by ``size``; the last group may be smaller. Python 3.12 has it as itertools.batched."""
    rest = iter(items)
    while group := tuple(islice(rest, size)):
        yield group
