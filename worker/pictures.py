"""Pictures of a run's images: thumbnails, and the views that the model saw. Nothing is predicted again.

Thumbnails need Pillow alone. PyTorch is imported when the first view is drawn.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.util import find_spec
from threading import BoundedSemaphore, Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from db.errors import SmoothvoteError, plain
from db.recipe import VIEWS, Preprocessing, Recipe
from db.runs import RunInfo
from db.settings import Settings
from db.store import Entry
from worker.files import find_root, read
from worker.memory import ran_out
from worker.parent import require_torch
from worker.thumbnails import make_thumbnail, save
from worker.unusable import Unusable

#: Images whose views are kept in memory: a page asks for all views of an image, one by one.
KEPT = 4
#: Thumbnails made at a time: an image that is no JPEG is decoded whole.
AT_ONCE = 4


class Pictures:
    """Draws images of any run. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        #: Whether this machine can draw views.
        self.has_views = find_spec("torch") is not None
        self._settings = settings
        self._drawn = lru_cache(maxsize=KEPT)(self._draw)
        # Views of one image at a time: a large image takes gigabytes, and a page asks for all its views at once.
        self._drawing = Lock()
        self._thumbnails = BoundedSemaphore(AT_ONCE)

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        """Draws an image as a JPEG that fits a square of ``side`` pixels; grey images too, whether skipped or not.

        Raises:
            SmoothvoteError: if the image cannot be read, or is not the one that was submitted.
        """
        with self._thumbnails, _explained(entry):
            return make_thumbnail(self._read(run.root, entry), side, **self._limits())

    def view(self, run: RunInfo, entry: Entry, level: float, view: str) -> bytes:
        """Draws one view, ns, ss or ds, as a PNG of crop × crop pixels.

        Raises:
            SmoothvoteError: as ``views``.
        """
        return save(Image.fromarray(self.views(run, entry, level)[VIEWS.index(view)]), "PNG")

    def views(self, run: RunInfo, entry: Entry, level: float) -> NDArray[np.uint8]:
        """Draws what the model saw at a level, before normalisation: (3, crop, crop, 3) bytes, for ns, ss and ds.

        The noise is that of the stored run: it is keyed by the file and the run's seed. An attack is made again, on the
        CPU: if the run was computed on another device, its pixels may differ a little.

        Raises:
            WrongUse: if torch is not installed.
            SmoothvoteError: if the image cannot be read, is not the one that was submitted, or no worker has begun
                the run.
        """
        require_torch()
        if run.preprocessing is None:
            raise SmoothvoteError(f"run {run.id} has no preprocessing yet: its first worker records it")
        recorded = run.preprocessing
        # JSON gives lists; the cache needs values that can be hashed.
        means = {"mean": tuple(recorded["mean"]), "std": tuple(recorded["std"])}
        with self._drawing, _explained(entry):
            drawn: NDArray[np.uint8] = self._drawn(
                run.root, entry, run.recipe, Preprocessing(**recorded | means), run.weights_sha256
            )
        of_level: NDArray[np.uint8] = drawn[run.recipe.levels.index(level)]
        return of_level

    def _draw(
        self, root: str, entry: Entry, recipe: Recipe, preprocessing: Preprocessing, weights_sha256: str | None
    ) -> NDArray[np.uint8]:
        """The views of all levels: (levels, 3, crop, crop, 3) bytes."""
        import torch

        from worker.attacks.aim import aim_of_record
        from worker.images import decode
        from worker.views import draw_field, draw_views

        pixels = decode(self._read(root, entry), grayscale=recipe.grayscale, **self._limits())
        aim = aim_of_record(recipe, preprocessing, weights_sha256)
        if aim:
            aim = aim._replace(label=entry.label)
        with torch.inference_mode():
            views = draw_views(pixels, draw_field(pixels, recipe), recipe, preprocessing, torch.device("cpu"), aim)
        values = views.unflatten(0, (-1, len(VIEWS))).permute(0, 1, 3, 4, 2).numpy()
        # Bicubic resizing leaves [0, 1] a little.
        drawn: NDArray[np.uint8] = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
        return drawn

    def _read(self, root: str, entry: Entry) -> bytes:
        return read(find_root(root, self._settings), entry, self._settings)

    def _limits(self) -> dict[str, int]:
        return {"max_pixels": self._settings.max_pixels, "max_side": self._settings.max_side}


@contextmanager
def _explained(entry: Entry) -> Iterator[None]:
    """Turns an error of one image into the one line that is shown in place of its picture."""
    try:
        yield
    except Unusable as error:
        raise SmoothvoteError(plain(f"{entry.path}: {error.code}: {error.message}")) from None
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise SmoothvoteError(plain(f"{entry.path}: there is not enough memory here to draw it")) from None
