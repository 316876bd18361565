"""Memory: finds how many views fit into a forward pass, by running out of memory and trying fewer."""

import logging
from threading import Lock

logger = logging.getLogger("worker")

#: After so many successful passes, twice as many views are tried: another program may have freed its memory.
GROW_AFTER = 64

#: Parts of the messages in which PyTorch, CUDA's libraries, OpenVINO and C++ report a lack of memory, in lower case.
SIGNS = (
    "out of memory", "not enough memory", "allocate memory", "failed to allocate", "alloc_failed", "allocation_failed",
    "bad_alloc",
)  # fmt: skip


class PassSize:
    """The number of views in a forward pass: as configured, or smaller after memory ran out. Threads may share it."""

    def __init__(self, configured: int) -> None:
        self.configured = self.current = self._smallest = configured
        self._good = 0
        self._lock = Lock()

    @property
    def ran_short(self) -> bool:
        """Whether memory has ever run out."""
        return self._smallest < self.configured

    def halve(self, tried: int) -> bool:
        """Halves the number after a pass of ``tried`` views ran out of memory; False if that was a single view."""
        with self._lock:
            self._good = 0
            if tried == 1:
                return False
            # If several threads ran out at the same time, the number is halved once.
            self.current = min(self.current, tried // 2)
            if self.current < self._smallest:  # logged once: it grows back and fails again every so often
                self._smallest = self.current
                logger.warning("out of memory at %d views a pass: going on with %d", tried, self.current)
            return True

    def passed(self) -> None:
        """Counts a successful pass; after GROW_AFTER of them, doubles the number again."""
        with self._lock:
            self._good += 1
            if self.current < self.configured and self._good >= GROW_AFTER:
                self.current, self._good = min(2 * self.current, self.configured), 0


def ran_out(error: BaseException) -> bool:
    """Whether an error means that the device or the machine has not enough memory."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)
