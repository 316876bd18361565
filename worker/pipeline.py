"""The way of an image: pixels → noise → views → one batch with others → labels → vote."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from threading import Lock
from typing import NamedTuple

import torch

from db.errors import Refusal, one_line
from db.recipe import VIEWS, Recipe
from db.store import Failed, Found, Predicted
from worker import noise
from worker.classifier import Answers, Classifier, DeviceLost
from worker.images import Pixels, Unusable
from worker.lanes import batched, spread
from worker.memory import ran_out
from worker.stopwatch import Stopwatch
from worker.views import draw_views, plain_views
from worker.vote import majority

logger = logging.getLogger("worker")

#: Images of more pixels are drawn one at a time, whatever the lanes: each takes gigabytes.
LARGE = 16_000_000
LARGE_IMAGE = Lock()

#: Gives an image's pixels, or raises Unusable.
Source = Callable[[], Pixels]


def predict(
    images: Iterable[tuple[int, Source]], recipe: Recipe, classifier: Classifier, watch: Stopwatch | None = None
) -> Generator[Found]:
    """Predictions and failures of images, in their order, some images at a time.

    Args:
        images: id and source of each.
        recipe: what is to be done with them.
        classifier: made from that recipe.
        watch: is told where the time goes: seconds of each lane, by stage.

    Raises:
        Exception: what was raised for images for no reason of theirs, if no image of all could be predicted. If others
            could, those images are failures: unreadable, or unexpected.
    """
    group = Group(recipe, classifier, watch or Stopwatch())
    at_once = max(1, classifier.batch_size // (len(recipe.levels) * len(VIEWS)))
    odd: dict[int, Exception] = {}
    fine = False
    groups = batched(images, at_once)
    with closing(spread(group.predict, groups, lanes=classifier.lanes, threads=classifier.threads)) as results:
        for found, unforeseen in results:
            fine = fine or bool(found.predicted)
            odd |= unforeseen
            yield found
    if odd and not fine:
        raise next(iter(odd.values()))  # with every image: it is the machine
    if odd:
        yield Found([], [_odd(image_id, error) for image_id, error in odd.items()])


class Group:
    """What a lane does with the few images that make a forward pass together."""

    def __init__(self, recipe: Recipe, classifier: Classifier, watch: Stopwatch) -> None:
        self.recipe, self.classifier, self.watch = recipe, classifier, watch

    @torch.inference_mode()
    def predict(self, images: Sequence[tuple[int, Source]]) -> tuple[Found, dict[int, Exception]]:
        """What was found; and, by image, errors that nobody foresaw: of the image or of this machine, others tell."""
        found, odd = Found([], []), dict[int, Exception]()
        usable: list[tuple[int, Drawn]] = []
        for image_id, source in images:
            with self._blaming(image_id, found, odd):
                usable.append((image_id, self._draw(source)))
        if not usable:
            return found, odd
        with self.watch.on("model"), self.classifier.device_errors():
            views = usable[0][1].views if len(usable) == 1 else torch.cat([drawn.views for _, drawn in usable])
            answers = self.classifier.predict(views)  # (images · levels · 3,) each
        for (image_id, drawn), of_image in zip(usable, _split(answers, len(usable)), strict=True):
            close = of_image.close.nonzero().flatten()
            if len(close):
                plain: list[torch.Tensor] = []
                with self._blaming(image_id, found, odd), self.watch.on("close"):
                    plain.append(self._draw_plainly(drawn, close.tolist()))
                if not plain:
                    continue
                with self.watch.on("close"):
                    for column, value in zip(of_image, self.classifier.predict_plainly(plain[0]), strict=True):
                        column[close] = value
            if of_image.confidences.isfinite().all():
                found.predicted.extend(_rows(image_id, self.recipe, of_image))
            else:
                message = "the model's outputs are not numbers"
                found.failed.append(Failed(image_id=image_id, code="not_finite", message=message))
        return found, odd

    @contextmanager
    def _blaming(self, image_id: int, found: Found, odd: dict[int, Exception]) -> Iterator[None]:
        """What goes wrong with an image is its own; but not a device that is lost."""
        try:
            with self.classifier.device_errors():
                yield
        except DeviceLost:
            raise
        except Unusable as reason:
            found.failed.append(Failed(image_id=image_id, code=reason.code, message=reason.message))
        except Exception as error:
            logger.warning("image %d: %s: %s", image_id, type(error).__name__, one_line(error))
            odd[image_id] = error.with_traceback(None)  # which would hold on to its tensors

    def _draw(self, source: Source) -> "Drawn":
        pixels = source()
        with _room_for(pixels, self.classifier.device):
            with self.watch.on("noise"):
                epsilon = self._noise(pixels)
            with self.watch.on("views"):
                views = draw_views(pixels, epsilon, self.recipe, self.classifier.preprocessing, self.classifier.device)
        return Drawn(source, pixels.digest, views)

    def _noise(self, pixels: Pixels) -> torch.Tensor:
        return noise.draw(pixels.digest, self.recipe.seed, *pixels.values.shape[:2])

    def _draw_plainly(self, drawn: "Drawn", close: list[int]) -> torch.Tensor:
        """Those views of an image that no engine could decide, for eager fp32 to have its own say on."""
        pixels = drawn.source()  # once more: to keep those of all would take gigabytes
        if pixels.digest != drawn.digest:
            raise Unusable("changed", "the file changed while it was worked on: submit again")
        with _room_for(pixels, self.classifier.device):
            return plain_views(pixels, self._noise(pixels), self.recipe, self.classifier.preprocessing, close)


class Drawn(NamedTuple):
    """An image's views, (levels · 3, 3, crop, crop) on the classifier's device; and where they came from."""

    source: Source
    digest: bytes
    views: torch.Tensor


@contextmanager
def _room_for(pixels: Pixels, device: torch.device) -> Iterator[None]:
    """Where an image is drawn: large ones in turn.

    Raises:
        Unusable: out_of_memory.
        DeviceLost: if it is a GPU's memory: another process begins with all of it.
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
    """Of each image, on the same memory."""
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
