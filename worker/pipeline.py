"""The pipeline: pixels → perturbed → views → one batch with other images → labels → vote."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import torch

from db.found import Found, Predicted
from db.recipe import VIEWS, Recipe
from worker.attacks.aim import aim_of
from worker.classifier import Answers, Classifier
from worker.faults import Faults, room_for
from worker.images import Pixels
from worker.lanes import batched, spread
from worker.stopwatch import Stopwatch
from worker.unusable import Unusable
from worker.views import draw_field, draw_views, merges_steps, plain_views
from worker.vote import majority

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
    faults, fine = Faults(classifier), False
    group = Group(recipe, classifier, faults, watch or Stopwatch())
    at_once = max(1, classifier.batch_size // (len(recipe.levels) * len(VIEWS)))
    groups = batched((Case(*image) for image in images), at_once)
    with closing(spread(group.predict, groups, lanes=classifier.lanes, threads=classifier.threads)) as results:
        for found in results:
            fine = fine or bool(found.predicted)
            yield found
    if odd := faults.settle(fine=fine):
        yield Found([], odd, [])


class Group:
    """What a lane does with the few images whose views fill one forward pass."""

    def __init__(self, recipe: Recipe, classifier: Classifier, faults: Faults, watch: Stopwatch) -> None:
        self.recipe, self.classifier, self.faults, self.watch = recipe, classifier, faults, watch
        self.aim = aim_of(recipe, classifier)

    @torch.inference_mode()
    def predict(self, images: Sequence[Case]) -> Found:
        """The predictions, and the failures, of a few images."""
        usable: list[tuple[int, Drawn]] = []
        for case in images:
            with self.faults.of(case.image_id):
                usable.append((case.image_id, self._draw(case)))
        predicted = list(self._predicted(usable)) if usable else []
        failed = [self.faults.failed[case.image_id] for case in images if case.image_id in self.faults.failed]
        return Found(predicted, failed, [], self.classifier.computer)

    def _predicted(self, usable: Sequence[tuple[int, "Drawn"]]) -> Iterator[Predicted]:
        with self.watch.on("model"), self.classifier.device_errors():
            views = usable[0][1].views if len(usable) == 1 else torch.cat([drawn.views for _, drawn in usable])
            answers = self.classifier.predict(views)  # (images · levels · 3,) each
        for (image_id, drawn), of_image in zip(usable, _split(answers, len(usable)), strict=True):
            close = of_image.close.nonzero().flatten()
            if len(close):
                exact: torch.Tensor | None = None
                with self.faults.of(image_id), self.watch.on("close"):
                    exact = self._exact_views(drawn, close)
                if exact is None:
                    continue
                with self.watch.on("close"):
                    for column, value in zip(of_image, self.classifier.predict_plainly(exact), strict=True):
                        column[close] = value
            if of_image.confidences.isfinite().all():
                yield from _rows(image_id, self.recipe, of_image)
            else:
                self.faults.fail_not_finite(image_id)

    def _draw(self, case: Case) -> "Drawn":
        pixels = case.source()
        recipe, classifier = self.recipe, self.classifier
        aim = self.aim._replace(label=case.label) if self.aim else None
        with room_for(pixels, classifier.device):
            with self.watch.on("noise"):
                field = draw_field(pixels, recipe)
            # An attack asks the model in each of its steps.
            with self.watch.on("attack" if aim else "views"):
                views = draw_views(pixels, field, recipe, classifier.preprocessing, classifier.device, aim)
        return Drawn(case.source, pixels.digest, views, merges_steps(pixels, recipe, classifier.preprocessing))

    def _exact_views(self, drawn: "Drawn", close: torch.Tensor) -> torch.Tensor:
        """The views that no engine could decide, for eager fp32: drawn again step by step where steps were merged."""
        if not drawn.merged:
            return drawn.views[close.to(drawn.views.device)]
        pixels = drawn.source()  # read again: keeping the pixels of all images would take gigabytes
        if pixels.digest != drawn.digest:
            raise Unusable("changed", "the file changed while it was worked on: submit again")
        with room_for(pixels, self.classifier.device):
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


def _split(answers: Answers, images: int) -> Iterator[Answers]:
    """The answers of each image, without copying them."""
    for number in range(images):
        yield Answers(*(column.view(images, -1)[number] for column in answers))


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
