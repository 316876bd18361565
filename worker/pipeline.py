"""The pipeline: pixels → perturbed → views → one batch with other images → labels → vote."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from threading import Lock
from typing import NamedTuple

import torch

from db.errors import Refusal, one_line
from db.recipe import VIEWS, Recipe
from db.store import Failed, Found, Predicted
from worker.attacks.aim import aim_of
from worker.classifier import Answers, Classifier, DeviceLost
from worker.images import Pixels
from worker.lanes import batched, spread
from worker.memory import ran_out
from worker.stopwatch import Stopwatch
from worker.unusable import Unusable
from worker.views import draw_field, draw_views, merges_steps, plain_views
from worker.vote import majority

logger = logging.getLogger("worker")

#: The views of larger images are drawn one image at a time, however many lanes there are: each takes gigabytes.
LARGE = 16_000_000
LARGE_IMAGE = Lock()

#: Returns an image's pixels, or raises Unusable.
Source = Callable[[], Pixels]


class Case(NamedTuple):
    """An image that is to be predicted."""

    image_id: int
    source: Source
    #: Index of its true class, or None. An attack wants to know it.
    label: int | None = None


def predict(
    images: Iterable[Case | tuple[int, Source]], recipe: Recipe, classifier: Classifier, watch: Stopwatch | None = None
) -> Generator[Found]:
    """Predicts images: yields predictions and failures, in the images' order, some images at a time.

    Args:
        images: the cases, or id and source of images whose labels are not known.
        recipe: what is done with them.
        classifier: made from that recipe.
        watch: adds up the seconds of each stage, over all lanes.

    Raises:
        Refusal: if this worker does not have the recipe's perturbation or smoother.
        Exception: the first unforeseen error, if no image at all could be predicted: then the machine is at fault. If
            some could, the images with such errors are failures: unreadable, or unexpected.
    """
    group = Group(recipe, classifier, watch or Stopwatch())
    at_once = max(1, classifier.batch_size // (len(recipe.levels) * len(VIEWS)))
    odd: dict[int, Exception] = {}
    fine = False
    groups = batched((Case(*image) for image in images), at_once)
    with closing(spread(group.predict, groups, lanes=classifier.lanes, threads=classifier.threads)) as results:
        for found, unforeseen in results:
            fine = fine or bool(found.predicted)
            odd |= unforeseen
            yield found
    if odd and not fine:
        raise next(iter(odd.values()))
    if odd:
        yield Found([], [_odd(image_id, error) for image_id, error in odd.items()], [])


class Group:
    """What a lane does with the few images whose views fill one forward pass."""

    def __init__(self, recipe: Recipe, classifier: Classifier, watch: Stopwatch) -> None:
        self.recipe, self.classifier, self.watch = recipe, classifier, watch
        self.aim = aim_of(recipe, classifier)

    @torch.inference_mode()
    def predict(self, images: Sequence[Case]) -> tuple[Found, dict[int, Exception]]:
        """What was found; and, by image, unforeseen errors: whether image or machine is at fault, other images tell."""
        found, odd = Found([], [], []), dict[int, Exception]()
        usable: list[tuple[int, Drawn]] = []
        for case in images:
            with self._blaming(case.image_id, found, odd):
                usable.append((case.image_id, self._draw(case)))
        if not usable:
            return found, odd
        with self.watch.on("model"), self.classifier.device_errors():
            views = usable[0][1].views if len(usable) == 1 else torch.cat([drawn.views for _, drawn in usable])
            answers = self.classifier.predict(views)  # (images · levels · 3,) each
        for (image_id, drawn), of_image in zip(usable, _split(answers, len(usable)), strict=True):
            close = of_image.close.nonzero().flatten()
            if len(close):
                exact: list[torch.Tensor] = []
                with self._blaming(image_id, found, odd), self.watch.on("close"):
                    exact.append(self._exact_views(drawn, close))
                if not exact:
                    continue
                with self.watch.on("close"):
                    for column, value in zip(of_image, self.classifier.predict_plainly(exact[0]), strict=True):
                        column[close] = value
            if of_image.confidences.isfinite().all():
                found.predicted.extend(_rows(image_id, self.recipe, of_image))
            else:
                message = "the model's outputs are not numbers"
                found.failed.append(Failed(image_id=image_id, code="not_finite", message=message))
        return found, odd

    @contextmanager
    def _blaming(self, image_id: int, found: Found, odd: dict[int, Exception]) -> Iterator[None]:
        """Records an error as that of an image, and goes on; a device that is lost is no image's fault."""
        try:
            with self.classifier.device_errors():
                yield
        except DeviceLost:
            raise
        except Unusable as reason:
            found.failed.append(Failed(image_id=image_id, code=reason.code, message=reason.message))
        except Exception as error:
            logger.warning("image %d: %s: %s", image_id, type(error).__name__, one_line(error))
            odd[image_id] = error.with_traceback(None)  # a traceback keeps tensors alive

    def _draw(self, case: Case) -> "Drawn":
        pixels = case.source()
        recipe, classifier = self.recipe, self.classifier
        aim = self.aim._replace(label=case.label) if self.aim else None
        with _room_for(pixels, classifier.device):
            with self.watch.on("noise"):
                field = draw_field(pixels, recipe)
            with self.watch.on("views"):
                views = draw_views(pixels, field, recipe, classifier.preprocessing, classifier.device, aim)
        return Drawn(case.source, pixels.digest, views, merges_steps(pixels, recipe, classifier.preprocessing))

    def _exact_views(self, drawn: "Drawn", close: torch.Tensor) -> torch.Tensor:
        """The views that no engine could decide, for eager fp32: drawn again step by step where steps were merged."""
        if not drawn.merged:
            return drawn.views[close.to(drawn.views.device)]
        pixels = drawn.source()  # read again: keeping the pixels of all images would take gigabytes
        if pixels.digest != drawn.digest:
            raise Unusable("changed", "the file changed while it was worked on: submit again")
        with _room_for(pixels, self.classifier.device):
            field = draw_field(pixels, self.recipe)
            return plain_views(pixels, field, self.recipe, self.classifier.preprocessing, close.tolist())


class Drawn(NamedTuple):
    """An image's views, and where they came from."""

    source: Source
    digest: bytes
    #: (levels · 3, 3, crop, crop) on the classifier's device.
    views: torch.Tensor
    #: Whether smoothing, resizing and cropping were merged: then the views are 1e-6 off those of single steps.
    merged: bool


@contextmanager
def _room_for(pixels: Pixels, device: torch.device) -> Iterator[None]:
    """Waits until an image's views may be drawn: those of large images are drawn in turn.

    Raises:
        Unusable: out_of_memory.
        DeviceLost: if a GPU is out of memory: a new process begins with all of it.
    """
    height, width = pixels.values.shape[:2]
    with LARGE_IMAGE if height * width > LARGE else nullcontext():
        try:
            yield
        except RuntimeError as error:
            if not ran_out(error):
                raise
            if device.type == "cuda":
                raise DeviceLost(f"{device}: {one_line(error)}") from None
            raise Unusable("out_of_memory", "not enough memory for its noise and views") from None


def _split(answers: Answers, images: int) -> Iterator[Answers]:
    """The answers of each image, without copying them."""
    for number in range(images):
        yield Answers(*(column.view(images, -1)[number] for column in answers))


def _odd(image_id: int, error: Exception) -> Failed:
    if isinstance(error, Refusal):
        return Failed(image_id=image_id, code="unreadable", message=one_line(error))
    return Failed(image_id=image_id, code="unexpected", message=f"{type(error).__name__}: {one_line(error)}")


def _rows(image_id: int, recipe: Recipe, answers: Answers) -> Iterator[Predicted]:
    labels, confidences = (
        column.view(len(recipe.levels), len(VIEWS)).tolist() for column in (answers.labels, answers.confidences)
    )
    for level, (ns, ss, ds), (sure_ns, sure_ss, sure_ds) in zip(recipe.levels, labels, confidences, strict=True):
        yield Predicted(
            image_id=image_id,
            level=level,
            label_ns=ns,
            confidence_ns=sure_ns,
            label_ss=ss,
            confidence_ss=sure_ss,
            label_ds=ds,
            confidence_ds=sure_ds,
            label_maj=majority(ns, ss, ds),
        )
