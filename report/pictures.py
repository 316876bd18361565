"""What draws an image of a run: a protocol, so that whoever shows pictures needs no torch until one is drawn."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from db.runs import RunInfo
from db.store import Entry


class Pictures(Protocol):
    """Draws the images of any run. Threads may share it. Its errors are SmoothvoteErrors."""

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        """The image as a JPEG that fits a square of ``side`` pixels."""

    def view(self, run: RunInfo, entry: Entry, level: float, view: str) -> bytes:
        """The image as the model saw it in one of ns, ss, ds at a level: a PNG."""

    def views(self, run: RunInfo, entry: Entry, level: float) -> NDArray[np.uint8]:
        """All three views at a level, before normalisation: (3, crop, crop, 3) bytes."""
