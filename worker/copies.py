"""Copies: the labels of noisy copies of an image, counted part by part: what a certificate is made of.

An image is resized and cropped to the model's input x, in [0, 1], before noise is added. Copy k at level σ is
x + σ·ε_k, not clamped; then come the smoother and the model. So the radius of a certificate is an L2 distance between
inputs of the model, as in the reference implementation and in published tables.
Source: Cohen, Rosenfeld, Kolter, "Certified adversarial robustness via randomized smoothing", ICML 2019.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import torch

from db.copies import Part, parts_of
from db.found import Counted, Found
from db.recipe import Recipe
from worker.classifier import Answers, Classifier
from worker.faults import Faults, room_for, room_on
from worker.keys import Key
from worker.lanes import spread
from worker.pipeline import Case
from worker.stopwatch import Stopwatch
from worker.views import fitted, steps_of


def count_copies(
    images: Iterable[Case], recipe: Recipe, copies: tuple[int, int], classifier: Classifier,
    watch: Stopwatch | None = None,
) -> Generator[Found]:  # fmt: skip
    """Counts the labels of some copies of images: yields counts and failures, some copies at a time.

    The counts do not depend on batch size, lanes or device, nor on how the copies are shared out over jobs.

    Args:
        images: the cases. Each is read once.
        recipe: one that certifies.
        copies: the first and the last copy of each image, both included.
        classifier: made from that recipe.
        watch: adds up the seconds of each stage, over all lanes.

    Raises:
        Refusal: if this worker does not have the recipe's smoother, or memory does not hold a single view.
        DeviceLost: if this process cannot use the device any more.
        Exception: the first unforeseen error, if no image at all could be used: then the machine is at fault. If some
            could, the images with such errors are failures: unreadable, or unexpected.
    """
    faults, fine = Faults(classifier), False
    lane = Lane(recipe, classifier, faults, watch or Stopwatch())
    parts = list(parts_of(recipe.selection or 0, *copies))
    groups = grouped(lane.inputs(images), parts, size=_copies_at_once(classifier.batch_size, len(recipe.levels)))
    tallies: defaultdict[int, Tally] = defaultdict(Counter)
    with closing(spread(lane.labels, groups, lanes=classifier.lanes, threads=classifier.threads)) as results:
        for labelled in results:
            found = Found([], [], [], classifier.computer)
            for span, labels in labelled:
                image_id = span.image.image_id
                for level, of_level in zip(recipe.levels, labels.tolist(), strict=True):
                    tallies[image_id].update((level, span.part, label) for label in of_level)
                if span.last == copies[1] and image_id not in faults:
                    found.counted.extend(_rows(image_id, tallies.pop(image_id)))
            fine = fine or bool(found.counted)
            yield found
    yield Found([], [*faults.failed.values(), *faults.settle(fine=fine)], [])


#: How many copies have which level, part and label.
Tally = Counter[tuple[float, int, int]]


class Input(NamedTuple):
    """An image as the model gets it, without noise."""

    image_id: int
    #: x, (3, crop, crop) float32 in [0, 1] on the CPU.
    x: torch.Tensor
    key: Key


class Span(NamedTuple):
    """Copies of one part of an image, first and last included."""

    image: Input
    #: Number of the part's first copy.
    part: int
    first: int
    last: int


def grouped(images: Iterable[Input], parts: Sequence[Part], size: int) -> Iterator[list[Span]]:
    """Cuts the copies of all images into groups of ``size`` copies; only the last group may be smaller."""
    group: list[Span] = []
    room = size
    for image in images:
        for part in parts:
            first = part.first
            while first <= part.last:
                last = min(part.last, first + room - 1)
                group.append(Span(image, part.first, first, last))
                room -= last - first + 1
                first = last + 1
                if not room:
                    yield group
                    group, room = [], size
    if group:
        yield group


def _copies_at_once(batch_size: int, levels: int) -> int:
    """The fewest copies whose views, one at each level, fill forward passes of ``batch_size`` without padding."""
    return batch_size // math.gcd(batch_size, levels)


class Lane:
    """What a lane does with a group of copies: noise, smoother, model. All lanes share it."""

    def __init__(self, recipe: Recipe, classifier: Classifier, faults: Faults, watch: Stopwatch) -> None:
        self.recipe, self.classifier, self.faults, self.watch = recipe, classifier, faults, watch
        self.smoother = steps_of(recipe).smoother

    def inputs(self, images: Iterable[Case]) -> Iterator[Input]:
        """Reads, resizes and crops the images that can be used.

        On the CPU, whatever the device: so that the copies are the same everywhere.
        """
        cpu = torch.device("cpu")
        for case in images:
            with self.faults.of(case.image_id):
                pixels = case.source()
                with room_for(pixels, cpu), self.watch.on("views"):
                    x = fitted(pixels, self.recipe, self.classifier.preprocessing)
            if case.image_id not in self.faults:
                yield Input(case.image_id, x, Key(pixels.digest, self.recipe.seed))

    @torch.inference_mode()
    def labels(self, group: Sequence[Span]) -> list[tuple[Span, torch.Tensor]]:
        """The labels of each span's copies, (levels, copies) int64. Spans of images with a fault are left out."""
        drawn: list[tuple[Span, torch.Tensor]] = []
        for span in group:
            if span.image.image_id not in self.faults:
                with self.faults.of(span.image.image_id), room_on(self.classifier.device):
                    drawn.append((span, self._draw(span)))
        if not drawn:
            return []
        with self.classifier.device_errors():
            answers = self._decided(drawn[0][1] if len(drawn) == 1 else torch.cat([views for _, views in drawn]))
        found = []
        sizes = [len(views) for _, views in drawn]
        for (span, _), labels, sure in zip(
            drawn, answers.labels.split(sizes), answers.confidences.split(sizes), strict=True
        ):
            if sure.isfinite().all():
                found.append((span, labels.view(len(self.recipe.levels), -1)))
            else:
                self.faults.fail_not_finite(span.image.image_id)
        return found

    def _draw(self, span: Span) -> torch.Tensor:
        """A span's copies on the classifier's device, level by level: (levels · copies, 3, crop, crop)."""
        device, x = self.classifier.device, span.image.x
        with self.watch.on("noise"):
            noise = torch.empty(span.last - span.first + 1, *x.shape, pin_memory=device.type == "cuda")
            for number, field in enumerate(noise, span.first):
                torch.randn(x.shape, generator=span.image.key.copy_generator(number), out=field)
            x, noise = x.to(device), noise.to(device, non_blocking=True)
            views = torch.empty(len(self.recipe.levels), *noise.shape, device=device)
            for level, noisy in zip(self.recipe.levels, views, strict=True):
                torch.add(x, noise, alpha=level, out=noisy)
        with self.watch.on("views"):
            return self.smoother.smooth(views.flatten(0, 1), self.recipe)

    def _decided(self, views: torch.Tensor) -> Answers:
        """The answers for (N, 3, crop, crop) views. What the cascade leaves close is decided by eager fp32."""
        with self.watch.on("model"):
            answers = self.classifier.predict(views)
        close = answers.close.nonzero().flatten()
        if len(close):
            with self.watch.on("close"):
                exact = self.classifier.predict_plainly(views[close.to(views.device)])
                for column, value in zip(answers, exact, strict=True):
                    column[close] = value
        return answers


def _rows(image_id: int, tally: Tally) -> Iterator[Counted]:
    for (level, part, label), n in sorted(tally.items()):
        yield Counted(image_id=image_id, level=level, part=part, label=label, n=n)
