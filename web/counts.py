"""A cache of slow counts: reports, tables of classes, comparisons."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

#: Counts that are kept, at most.
KEPT = 64


class Counts:
    """A least-recently-used cache of slow counts. Of two threads that ask for the same count, one counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Any, ...], _Count] = OrderedDict()

    def get(self, key: tuple[Any, ...], state: tuple[int, ...], count: Callable[[], T]) -> T:
        """The kept count of this key, if it was counted in this state; otherwise a new one."""
        with self._lock:
            kept = self._kept.setdefault(key, _Count())
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        with kept.lock:
            if kept.state != state:
                kept.value = count()
                kept.state = state
            found: T = kept.value
            return found


class _Count:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.state: tuple[int, ...] | None = None
        self.value: Any = None
