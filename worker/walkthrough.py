"""The article's walk-through of single images: the answer for each view at each level, and the vote."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from db.found import Failed, Predicted
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry
from worker.assembly import make_classifier
from worker.classifier import choose_device
from worker.files import read
from worker.images import Pixels, decode
from worker.pipeline import predict


class Walked(NamedTuple):
    """One image: its predictions, one for each level, or the reason why it has none."""

    path: str
    levels: list[Predicted]
    failed: Failed | None


def walk_through(images: Sequence[str], recipe: Recipe, settings: Settings) -> Iterator[Walked]:
    """Predicts single image files, without queue or database.

    Args:
        images: paths of files.
        recipe: says what is done with them.
        settings: names the device, and has the limits of an image.

    Raises:
        Refusal: if the model or its weights are missing.
    """
    classifier = make_classifier(
        recipe, device=choose_device(settings.device), engine="eager", batch_size=settings.batch_size
    )
    sources = [(number, partial(_open, path, recipe, settings)) for number, path in enumerate(images)]
    for found in predict(sources, recipe, classifier):
        for failed in found.failed:
            yield Walked(images[failed.image_id], [], failed)
        for image_id in sorted({row.image_id for row in found.predicted}):
            yield Walked(images[image_id], [row for row in found.predicted if row.image_id == image_id], None)


def _open(path: str, recipe: Recipe, settings: Settings) -> Pixels:
    # The person at the terminal may name any file: the image root does not restrict them.
    file = Path(path).expanduser().absolute()
    settings = settings.model_copy(update={"image_root": Path(file.anchor)})
    return decode(
        read(str(file.parent), Entry(path=file.name, label=None, bytes=None), settings),
        grayscale=recipe.grayscale,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
    )
