"""A device of a set rate, for workers that are to be measured without one: it sleeps as long as it would compute.

It computes one job after another, and the next one at once if that is there already, as a GPU does with what is queued
on it. STAND_IN_RATE is its views a second; 0 takes no time. For each job a line goes to a file of its process in the
folder STAND_IN_TRACE: when the device began and ended, on the clock that all processes of a machine share.
"""

import os
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from db.found import Found, Predicted
from db.recipe import Preprocessing
from db.settings import Settings
from db.store import Work
from worker.stopwatch import Stopwatch
from worker.worker import Pinned

RATE = float(os.environ["STAND_IN_RATE"])
TRACE = Path(os.environ["STAND_IN_TRACE"])
PINNED = Pinned("0" * 64, Preprocessing(256, 224, "bilinear", True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


class Compute:
    """The device of this process. Several jobs may wait for it."""

    def __init__(self, settings: Settings) -> None:
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._trace = (TRACE / str(os.getpid())).open("a", buffering=1)

    @contextmanager
    def loaded(self, work: Work) -> Iterator["Loaded"]:
        """As a worker asks for it."""
        yield Loaded(self, work)

    def pinned(self, work: Work) -> Pinned:
        """As a worker asked for it that did one job at a time, until commit a352159."""
        return PINNED

    def found(self, work: Work, watch: Stopwatch) -> Generator[Found]:
        """Predicts a job's images: the same for each."""
        views = 3 * len(work.recipe.levels) * len(work.images)
        with watch.on("forward"):
            self._take(views / RATE if RATE else 0.0)
        yield Found([_row(image_id, level) for image_id, _ in work.images for level in work.recipe.levels], [], [])

    def _take(self, seconds: float) -> None:
        with self._lock:
            begins = max(time.monotonic(), self._free_at)
            ends = self._free_at = begins + seconds
        time.sleep(max(0.0, ends - time.monotonic()))
        self._trace.write(f"{begins} {ends}\n")


class Loaded:
    """A job on the device."""

    pinned = PINNED

    def __init__(self, device: Compute, work: Work) -> None:
        self._device, self._work = device, work

    def found(self, watch: Stopwatch) -> Generator[Found]:
        """As a worker asks for it."""
        return self._device.found(self._work, watch)


def _row(image_id: int, level: float) -> Predicted:
    # Confidences with as many digits as a model's: a row's text must not be shorter than a real one's.
    return Predicted(
        image_id=image_id, level=level, label_ns=817, confidence_ns=0.8427813649177551, label_ss=817,
        confidence_ss=0.7911462783813477, label_ds=656, confidence_ds=0.5120384693145752, label_maj=817,
    )  # fmt: skip
