"""Memory: how many views a forward pass may hold, learnt by running out of it."""

import logging
from threading import Lock

logger = logging.getLogger("worker")

#: Good passes in a row before twice as many views are tried: what took the memory may be gone by then.
GROW_AFTER = 64

#: How PyTorch, CUDA's libraries, OpenVINO and C++ say it, in lower case. CUDA's own class of error says
#: "out of memory" too.
SIGNS = (
    "out of memory", "not enough memory", "allocate memory", "failed to allocate", "alloc_failed", "allocation_failed",
    "bad_alloc",
)  # fmt: skip


class PassSize:
    """Views of one forward pass: as many as are configured, or fewer where memory does not hold them."""

    def __init__(self, configured: int) -> None:
        self.configured = self.current = self._smallest = configured
        self._good = 0
        self._lock = Lock()

    @property
    def ran_short(self) -> bool:
        """Whether memory ran out at any time so far."""
        return self._smallest < self.configured

    def halve(self, tried: int) -> bool:
        """Half as many from now on as were tried; False if there is no half."""
        with self._lock:
            self._good = 0
            if tried == 1:
                return False
            # Where several threads ran out at the same time, once is enough.
            self.current = min(self.current, tried // 2)
            if self.current < self._smallest:  # growing back and failing again is no news
                self._smallest = self.current
                logger.warning("out of memory at %d views a pass: going on with %d", tried, self.current)
            return True

    def passed(self) -> None:
        """A pass went well; after many of them, twice as many views from now on."""
        with self._lock:
            self._good += 1
            if self.current < self.configured and self._good >= GROW_AFTER:
                self.current, self._good = min(2 * self.current, self.configured), 0


def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, the device's or the machine's."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)
