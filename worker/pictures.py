"""An image of a run as pictures: small, and as the model saw it in each view. Nothing is predicted again."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import BoundedSemaphore, Lock

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from db.errors import SmoothvoteError, plain
from db.recipe import VIEWS, Preprocessing, Recipe
from db.runs import RunInfo
from db.settings import Settings
from db.store import Entry
from worker import noise
from worker.images import Pixels, Unusable, decode, find_root, read
from worker.memory import ran_out
from worker.views import draw_views

#: Images whose views are kept: somebody who looks at one view of an image looks at all of them.
KEPT = 4
#: Thumbnails made at once: each decodes a whole image.
AT_ONCE = 4


class Pictures:
    """Draws the images of any run. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._drawn = lru_cache(maxsize=KEPT)(self._draw)
        # One image at a time: a large one takes gigabytes, and a page asks for all of its views at the same moment.
        self._drawing = Lock()
        self._thumbnails = BoundedSemaphore(AT_ONCE)

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        """The image as a JPEG that fits a square; a grey one as well, though the recipe may skip it.

        Raises:
            SmoothvoteError: if it cannot be read, or is not what was submitted.
        """
        with self._thumbnails, _explained(entry):
            picture = Image.fromarray(_bytes(self._decode(run.root, entry, "convert").values.numpy()))
            picture.thumbnail((side, side))
        return _saved(picture, "JPEG")

    def view(self, run: RunInfo, entry: Entry, level: float, view: str) -> bytes:
        """One of `views` as a PNG.

        Raises:
            SmoothvoteError: as for ``views``.
        """
        return _saved(Image.fromarray(self.views(run, entry, level)[VIEWS.index(view)]), "PNG")

    def views(self, run: RunInfo, entry: Entry, level: float) -> NDArray[np.uint8]:
        """What the model saw at a level, before normalisation: (3, crop, crop, 3) bytes: unsmoothed, single, double.

        By the run's own recipe, seed and preprocessing; noise is keyed by the file, so it is that of the stored run.

        Raises:
            SmoothvoteError: if the image cannot be read, is not what was submitted, or no worker has begun the run.
        """
        if run.preprocessing is None:
            raise SmoothvoteError(f"run {run.id} has no preprocessing yet: its first worker records it")
        recorded = run.preprocessing
        # Lists, as JSON has them, are no keys to find something by.
        means = {"mean": tuple(recorded["mean"]), "std": tuple(recorded["std"])}
        with self._drawing, _explained(entry):
            drawn: NDArray[np.uint8] = self._drawn(run.root, entry, run.recipe, Preprocessing(**recorded | means))
        of_level: NDArray[np.uint8] = drawn[run.recipe.levels.index(level)]
        return of_level

    def _draw(self, root: str, entry: Entry, recipe: Recipe, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """Of all levels, (levels, 3, crop, crop, 3)."""
        pixels = self._decode(root, entry, recipe.grayscale)
        epsilon = noise.draw(pixels.digest, recipe.seed, *pixels.values.shape[:2])
        with torch.inference_mode():
            views = draw_views(pixels, epsilon, recipe, preprocessing, torch.device("cpu"))
        return _bytes(views.unflatten(0, (-1, len(VIEWS))).permute(0, 1, 3, 4, 2).numpy())

    def _decode(self, root: str, entry: Entry, grayscale: str) -> Pixels:
        data = read(find_root(root, self._settings), entry, self._settings)
        limits = {"max_pixels": self._settings.max_pixels, "max_side": self._settings.max_side}
        return decode(data, grayscale=grayscale, **limits)


@contextmanager
def _explained(entry: Entry) -> Iterator[None]:
    try:
        yield
    except Unusable as error:
        raise SmoothvoteError(plain(f"{entry.path}: {error.code}: {error.message}")) from None
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
        raise SmoothvoteError(plain(f"{entry.path}: there is not enough memory here to draw it")) from None


def _bytes(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Values in [0, 1], which bicubic resizing may leave a little, as bytes; bytes as they are."""
    if values.dtype == np.uint8:
        return values.astype(np.uint8, copy=False)
    scaled: NDArray[np.uint8] = (np.clip(values, 0, 1) * 255).round().astype(np.uint8)
    return scaled


def _saved(picture: Image.Image, form: str) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, quality=85)
    return file.getvalue()
