"""Computing a job: reads its images, and predicts them or counts their copies' labels.

The recipe's classifier is kept for later jobs.
"""

import logging
import time
from collections.abc import Generator
from functools import partial

import torch
from billiard import current_process

from db.errors import one_line
from db.found import Found
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry, Work
from worker.assembly import make_classifier
from worker.classifier import Classifier, DeviceLost, choose_device
from worker.copies import count_copies
from worker.files import find_root, read
from worker.images import Pixels, decode
from worker.pipeline import Case, predict
from worker.stopwatch import Stopwatch
from worker.views import steps_of
from worker.worker import BrokenProcess, Pinned, alive

logger = logging.getLogger("worker")


class Compute:
    """Computes jobs, one at a time, on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # The children of one parent are numbered from 0, and take the machine's GPUs in turn.
        self.device = choose_device(settings.device, process=getattr(current_process(), "index", 0))
        self._last: tuple[Recipe, Classifier] | None = None

    def pinned(self, work: Work) -> Pinned:
        """Loads a job's classifier, and returns the identity of its weights and its preprocessing.

        Raises:
            Refusal: if this machine lacks the recipe's perturbation, smoother or weights, or the device.
            BrokenProcess: if the device cannot be used by this process any more.
        """
        steps_of(work.recipe)  # refuses before it takes the time to load a model
        try:
            classifier = self._classifier_of(work.recipe)
        except (torch.AcceleratorError, DeviceLost) as error:
            raise BrokenProcess(one_line(error)) from error
        return Pinned(classifier.weights_sha256, classifier.preprocessing)

    def found(self, work: Work, watch: Stopwatch) -> Generator[Found]:
        """Computes a job: yields predictions or counts, and failures, some images at a time.

        Raises:
            Refusal: if this machine cannot read the images or run the model.
            BrokenProcess: if the device cannot be used by this process any more.
        """
        root = find_root(work.root, self.settings)
        images = [
            Case(image_id, partial(open_image, root, entry, work.recipe, self.settings, watch), entry.label)
            for image_id, entry in work.images
        ]
        try:
            classifier = self._classifier_of(work.recipe)
            if work.recipe.certifies:
                yield from count_copies(images, work.recipe, work.copies, classifier, watch)
            else:
                yield from predict(images, work.recipe, classifier, watch)
        except DeviceLost as error:
            raise BrokenProcess(str(error)) from error

    def _classifier_of(self, recipe: Recipe) -> Classifier:
        key = recipe.classifier_key()
        if self._last is None or self._last[0] != key:
            self._last = None  # frees the old model's memory before the new one needs it
            began = time.monotonic()
            made = make_classifier(
                recipe,
                device=self.device,
                engine=self.settings.engine,
                batch_size=self.settings.batch_size,
                home=self.settings.home,
            )
            asked = ", then ".join(one.engine.name for one in made.cascade)
            logger.info(
                "%s on %s by %s, %d views a pass, %d lanes: ready in %.1f s",
                recipe.model, made.device, asked, made.batch_size, made.lanes, time.monotonic() - began,
            )  # fmt: skip
            made.after_pass = partial(alive, self.settings.stall)
            self._last = (key, made)
        return self._last[1]


def open_image(root: str, entry: Entry, recipe: Recipe, settings: Settings, watch: Stopwatch) -> Pixels:
    """Reads and decodes one image of a dataset.

    Args:
        root: as ``find_root`` returned it.
        entry: the image.
        recipe: says what to do with grey images.
        settings: has the limits of an image.
        watch: adds up the seconds of reading and decoding.

    Raises:
        Unusable: if the image is at fault.
        Refusal: if this machine is at fault.
    """
    alive(settings.stall)
    with watch.on("read"):
        data = read(root, entry, settings)
    with watch.on("decode"):
        return decode(data, grayscale=recipe.grayscale, max_pixels=settings.max_pixels, max_side=settings.max_side)
