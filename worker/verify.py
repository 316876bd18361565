"""Predicting images of a recorded run again on this machine, from the files on, without queue or database."""

from collections.abc import Generator, Sequence
from functools import partial

from db.errors import Refusal, one_line
from db.found import Found
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry
from worker.assembly import make_classifier
from worker.classifier import DeviceLost, choose_device
from worker.copies import count_copies
from worker.files import find_root, read
from worker.images import Pixels, decode
from worker.pipeline import Case, predict
from worker.views import steps_of


class Verifier:
    """Computes images of a run as one of its workers would, with the model loaded once.

    Args:
        recipe: of the run.
        root: of its dataset, as the record has it.
        settings: name the device, the engine and the batch size, and have the limits of an image.

    Raises:
        Refusal: if this machine lacks the recipe's perturbation, smoother or weights, the device or the images.
    """

    def __init__(self, recipe: Recipe, root: str, settings: Settings) -> None:
        steps_of(recipe)  # refuses before it takes the time to load a model
        self._recipe, self._settings, self._root = recipe, settings, find_root(root, settings)
        self._classifier = make_classifier(
            recipe,
            device=choose_device(settings.device),
            engine=settings.engine,
            batch_size=settings.batch_size,
            home=settings.home,
        )

        self.computer = self._classifier.computer
        self.weights_sha256, self.preprocessing = self._classifier.weights_sha256, self._classifier.preprocessing

    def compute(self, images: Sequence[tuple[int, Entry]], copies: tuple[int, int] = (0, 0)) -> Generator[Found]:
        """Predicts images, or counts their copies: yields what was found, some images at a time.

        Args:
            images: pairs of an id and an image. An image that cannot be used here is found as a failure.
            copies: of a certificate: the first and the last copy of each image, both included.

        Raises:
            Refusal: if this machine cannot go on.
        """
        cases = [Case(image_id, partial(self._open, entry), entry.label) for image_id, entry in images]
        try:
            if self._recipe.certifies:
                yield from count_copies(cases, self._recipe, copies, self._classifier)
            else:
                yield from predict(cases, self._recipe, self._classifier)
        except DeviceLost as error:
            raise Refusal(f"the device failed: {one_line(error)}; try again, or with --device cpu") from None

    def _open(self, entry: Entry) -> Pixels:
        settings = self._settings
        return decode(
            read(self._root, entry, settings),
            grayscale=self._recipe.grayscale,
            max_pixels=settings.max_pixels,
            max_side=settings.max_side,
        )
