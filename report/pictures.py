"""The protocol between those who show pictures of images and the worker's room, which draws them.

It keeps torch out of the other rooms: thumbnails need Pillow alone, and views import torch when the first is drawn.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from db.runs import RunInfo
from db.store import Entry


class Pictures(Protocol):
    """Draws images of any run. Threads may share it. What it raises is a SmoothvoteError."""

    #: Whether views can be drawn here: they need torch, thumbnails do not.
    has_views: bool

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        """Draws an image as a JPEG that fits a square of ``side`` pixels."""

    def view(self, run: RunInfo, entry: Entry, level: float, view: str) -> bytes:
        """Draws an image as the model saw it, at a level and in one of the views ns, ss, ds: as a PNG."""

    def views(self, run: RunInfo, entry: Entry, level: float) -> NDArray[np.uint8]:
        """Draws all three views at a level, before normalisation: (3, crop, crop, 3) bytes."""
