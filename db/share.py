"""How the runs that have jobs to send share the workers.

Runs with a higher priority are served first. Among runs of one priority, the one with the least work is: work that is
on the queue or with a worker, or that was done in the last minute. So two runs get the same number of views a minute,
however many images they have and however large their jobs are. A run that is submitted after a long one is served at
once, because nothing was done for it yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import NamedTuple


class Sendable(NamedTuple):
    """A job that can be sent, and its work: the number of views that it predicts."""

    id: int
    work: int


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A run that has jobs to send."""

    run_id: str
    priority: int
    #: Views of its jobs that are on the queue or with a worker, or that were done lately.
    work: int
    #: Its jobs in the order in which they are to be sent; read as far as they are needed.
    jobs: Iterator[Sendable] = field(compare=False)


def share(contenders: Sequence[Contender], room: int, *, ahead: float = 0, holder: str | None = None) -> list[int]:
    """Chooses the jobs that are sent next; gives their ids, those of a run one after the other.

    Args:
        contenders: the runs; of two that are alike, the first is served first.
        room: how many jobs to choose.
        ahead: how many views a run may get ahead of the one with the least work before that one has its turn. With 0,
            no two runs ever differ by more than a job.
        holder: the run whose turn it is.
    """
    heap = [(-run.priority, run.work, order) for order, run in enumerate(contenders)]
    turn = next((entry for entry in heap if contenders[entry[2]].run_id == holder), None)
    if turn:
        heap.remove(turn)
    heapify(heap)
    chosen: dict[int, list[int]] = {}
    left = room
    while left:
        if turn is None or (heap and (heap[0][0], heap[0][1] + ahead) < turn[:2]):
            if turn:
                heappush(heap, turn)
            if not heap:
                break
            turn = heappop(heap)
        priority, work, order = turn
        job = next(contenders[order].jobs, None)
        if job is None:
            turn = None
            continue
        chosen.setdefault(order, []).append(job.id)
        turn = (priority, work + job.work, order)
        left -= 1
    return [job_id for ids in chosen.values() for job_id in ids]
