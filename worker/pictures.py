"""An image of a run as pictures: small, and as the model saw it in each view. Nothing is predicted again."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from db.errors import SmoothvoteError
from db.recipe import Preprocessing
from db.runs import RunInfo
from db.settings import Settings
from db.store import Entry
from worker import noise
from worker.images import Pixels, Unusable, decode, find_root, read
from worker.smoothing import VIEWS
from worker.views import plain_views

#: Decoded images that are kept: somebody who looks at one looks at all its views.
KEPT = 2


class Pictures:
    """Draws the images of any run. Threads may share it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._decoded = lru_cache(maxsize=KEPT)(self._decode)

    def thumbnail(self, run: RunInfo, entry: Entry, side: int = 192) -> bytes:
        """The image as a JPEG that fits a square.

        Raises:
            SmoothvoteError: if it cannot be read, or is not what was submitted.
        """
        with _explained(entry):
            picture = Image.fromarray(_bytes(self._pixels(run, entry).values.numpy()))
        picture.thumbnail((side, side))
        return _saved(picture, "JPEG")

    def view(self, run: RunInfo, entry: Entry, sigma: float, view: str) -> bytes:
        """One of `views` as a PNG.

        Raises:
            SmoothvoteError: as for ``views``.
        """
        return _saved(Image.fromarray(self.views(run, entry, sigma)[VIEWS.index(view)]), "PNG")

    def views(self, run: RunInfo, entry: Entry, sigma: float) -> NDArray[np.uint8]:
        """What the model saw at a level, before normalisation: (3, crop, crop, 3) bytes: unsmoothed, single, double.

        By the run's own recipe, seed and preprocessing; noise is keyed by the file, so it is that of the stored run.

        Raises:
            SmoothvoteError: if the image cannot be read, is not what was submitted, or no worker has begun the run.
        """
        if run.preprocessing is None:
            raise SmoothvoteError(f"run {run.id} has no preprocessing yet: its first worker records it")
        preprocessing = Preprocessing(**run.preprocessing)
        first = run.recipe.levels.index(sigma) * len(VIEWS)
        with _explained(entry), torch.inference_mode():
            pixels = self._pixels(run, entry)
            epsilon = noise.draw(pixels.digest, run.recipe.seed, *pixels.values.shape[:2])
            wanted = range(first, first + len(VIEWS))
            drawn = plain_views(pixels, epsilon, run.recipe, preprocessing, wanted)
            return _bytes(drawn.permute(0, 2, 3, 1).numpy())

    def _pixels(self, run: RunInfo, entry: Entry) -> Pixels:
        return self._decoded(run.root, entry, run.recipe.grayscale)

    def _decode(self, root: str, entry: Entry, grayscale: str) -> Pixels:
        data = read(find_root(root, self._settings), entry, self._settings)
        limits = {"max_pixels": self._settings.max_pixels, "max_side": self._settings.max_side}
        return decode(data, grayscale=grayscale, **limits)


@contextmanager
def _explained(entry: Entry) -> Iterator[None]:
    try:
        yield
    except Unusable as error:
        raise SmoothvoteError(f"{entry.path}: {error.code}: {error.message}") from None


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
