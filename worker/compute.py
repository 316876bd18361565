"""What a worker computes with: the images where they lie, and the classifier of the last recipe."""

import logging
import time
from collections.abc import Iterator
from functools import partial

from billiard import current_process

from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry, Found, Work
from worker.classifier import Classifier, DeviceLost, choose_device, make_classifier
from worker.images import Pixels, decode, find_root, read
from worker.pipeline import Source, predict
from worker.worker import BrokenProcess, Pinned, alive

logger = logging.getLogger("worker")


class Compute:
    """Computes jobs, one after the other, on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # Children of one parent count from 0: they share out the machine's GPUs.
        self.device = choose_device(settings.device, process=getattr(current_process(), "index", 0))
        self._last: tuple[Recipe, Classifier] | None = None

    def pinned(self, work: Work) -> Pinned:
        """What this machine would do the job with.

        Raises:
            Refusal: if it has not the weights, or the device.
        """
        classifier = self._classifier_of(work.recipe)
        return Pinned(classifier.weights_sha256, classifier.preprocessing)

    def found(self, work: Work) -> Iterator[Found]:
        """Predictions and failures of a job's images, some images at a time.

        Raises:
            Refusal: if this machine turns out not to be able to.
            BrokenProcess: if its device is broken for this process.
        """
        root = find_root(work.root, self.settings)
        images: list[tuple[int, Source]] = [
            (image_id, partial(open_image, root, entry, work.recipe, self.settings)) for image_id, entry in work.images
        ]
        try:
            yield from predict(images, work.recipe, self._classifier_of(work.recipe))
        except DeviceLost as error:
            raise BrokenProcess(str(error)) from error

    def _classifier_of(self, recipe: Recipe) -> Classifier:
        key = recipe.classifier_key()
        if self._last is None or self._last[0] != key:
            self._last = None  # the old one's memory first
            began = time.monotonic()
            made = make_classifier(recipe, device=self.device, batch_size=self.settings.batch_size)
            logger.info("%s on %s, ready in %.1f s", recipe.model, made.device, time.monotonic() - began)
            made.after_pass = partial(alive, self.settings.stall)
            self._last = (key, made)
        return self._last[1]


def open_image(root: str, entry: Entry, recipe: Recipe, settings: Settings) -> Pixels:
    """The pixels of a dataset's image.

    Raises:
        Unusable: with the reason.
        Refusal: if it is this machine that cannot read it.
    """
    alive(settings.stall)
    data = read(root, entry, settings)
    return decode(data, grayscale=recipe.grayscale, max_pixels=settings.max_pixels, max_side=settings.max_side)
