"""A stopwatch: adds up how long each stage of a job takes, over all its threads."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class Stopwatch:
    """Seconds by stage, in the order in which the stages first came. Threads may share it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage. If several threads are in a stage, each one's time counts."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.seconds[stage] = self.seconds.get(stage, 0) + took

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in self.seconds.items())
