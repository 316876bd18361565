"""A stopwatch: adds up how long each stage of a job takes, over all its threads."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

#: The stages in which the device computes, or is waited for. The attack is one: it asks the model in each of its steps.
DEVICE_STAGES = frozenset({"model", "close", "attack"})


class Stopwatch:
    """Seconds by stage, in the order in which the stages first came. Threads may share it.

    Args:
        whole: the stopwatch of the whole process, which adds up what this one measures; None if there is none.
    """

    def __init__(self, whole: "Stopwatch | None" = None) -> None:
        self.seconds: dict[str, float] = {}
        self._whole = whole
        self._lock = Lock()
        #: How many threads are in each stage now.
        self._inside: Counter[str] = Counter()
        self._busy, self._busy_since = 0.0, 0.0

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage. If several threads are in a stage, each one's time counts."""
        began = time.perf_counter()
        watches = [watch for watch in (self, self._whole) if watch]
        for watch in watches:
            watch._enter(stage, began)
        try:
            yield
        finally:
            ended = time.perf_counter()
            for watch in watches:
                watch._leave(stage, began, ended)

    def busy(self) -> float:
        """Seconds in which at least one thread was in a stage that uses the device; several count once."""
        with self._lock:
            return self._busy + (time.perf_counter() - self._busy_since if self._uses_device() else 0)

    def is_on(self, stage: str) -> bool:
        """Whether a thread is in the stage now."""
        with self._lock:
            return self._inside[stage] > 0

    def so_far(self) -> dict[str, float]:
        """A copy of the seconds by stage."""
        with self._lock:
            return dict(self.seconds)

    def _enter(self, stage: str, now: float) -> None:
        with self._lock:
            if stage in DEVICE_STAGES and not self._uses_device():
                self._busy_since = now
            self._inside[stage] += 1

    def _leave(self, stage: str, began: float, now: float) -> None:
        with self._lock:
            self.seconds[stage] = self.seconds.get(stage, 0) + now - began
            self._inside[stage] -= 1
            if stage in DEVICE_STAGES and not self._uses_device():
                self._busy += now - self._busy_since

    def _uses_device(self) -> bool:
        return any(self._inside[stage] for stage in DEVICE_STAGES)

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.3f}" for stage, seconds in self.seconds.items())
