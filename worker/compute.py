"""Computing a job: reads its images, and predicts them or counts their copies' labels."""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from db.errors import one_line
from db.found import Found
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry, Work
from worker.activity import OWN
from worker.assembly import make_classifier
from worker.classifier import Classifier, DeviceLost, choose_device
from worker.classifiers import Classifiers
from worker.copies import count_copies
from worker.files import find_root, read
from worker.images import Pixels, decode
from worker.pipeline import Case, predict
from worker.stall import alive
from worker.stopwatch import Stopwatch
from worker.views import steps_of
from worker.worker import BrokenProcess, Pinned

logger = logging.getLogger("worker")


class Compute:
    """Computes jobs on one device."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.device = OWN.device = choose_device(settings.device)
        self._classifiers = Classifiers(self._make)
        # Asked once: in a new thread, PyTorch says what the last lane was set to.
        self._threads = torch.get_num_threads()

    @contextmanager
    def loaded(self, work: Work) -> Iterator["Loaded"]:
        """Loads a job's classifier, and keeps it until the block ends.

        Raises:
            Refusal: if this machine lacks the recipe's perturbation, smoother or weights, or the device.
            BrokenProcess: if the device cannot be used by this process any more.
            Stopped: if this process was told to stop.
        """
        steps_of(work.recipe)  # refuses before it takes the time to load a model
        torch.set_num_threads(self._threads)
        try:
            with self._classifiers.using(work.recipe) as classifier:
                yield Loaded(work, classifier, self.settings)
        except (torch.AcceleratorError, DeviceLost) as error:
            raise BrokenProcess(one_line(error)) from error

    def _make(self, recipe: Recipe) -> Classifier:
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
        made.after_pass = alive
        OWN.engine, OWN.model = asked, recipe.model
        return made


class Loaded:
    """A job whose classifier is loaded."""

    def __init__(self, work: Work, classifier: Classifier, settings: Settings) -> None:
        self.work, self.classifier, self.settings = work, classifier, settings
        #: The identity of the classifier's weights, and its preprocessing.
        self.pinned = Pinned(classifier.weights_sha256, classifier.preprocessing)

    def found(self, watch: Stopwatch) -> Generator[Found]:
        """Computes the job: yields predictions or counts, and failures, some images at a time.

        Raises:
            Refusal: if this machine cannot read the images or run the model.
            DeviceLost: if the device cannot be used by this process any more.
            Stopped: if this process was told to stop before the job's turn came.
        """
        work, recipe = self.work, self.work.recipe
        root = find_root(work.root, self.settings)
        images = [
            Case(image_id, partial(open_image, root, entry, recipe, self.settings, watch), entry.label)
            for image_id, entry in work.images
        ]
        if recipe.certifies:
            yield from count_copies(images, recipe, work.copies, self.classifier, watch)
        else:
            yield from predict(images, recipe, self.classifier, watch)


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
    alive()
    with watch.on("read"):
        data = read(root, entry, settings)
    with watch.on("decode"):
        return decode(data, grayscale=recipe.grayscale, max_pixels=settings.max_pixels, max_side=settings.max_side)
