"""The way of an image: pixels → noise → views → one batch with others → labels → vote."""

import logging
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import torch

from db.errors import Refusal, one_line
from db.recipe import Preprocessing, Recipe
from db.store import Failed, Found, Predicted
from worker import noise
from worker.classifier import Classifier
from worker.images import Pixels, Unusable
from worker.preprocess import fit
from worker.smoothing import VIEWS, smooth
from worker.vote import majority

logger = logging.getLogger("worker")

#: So many at a time, since the last batch is filled up to the size of the others.
BATCHES_AT_ONCE = 4

#: Gives an image's pixels, or raises Unusable.
Source = Callable[[], Pixels]


def predict(images: Iterable[tuple[int, Source]], recipe: Recipe, classifier: Classifier) -> Iterator[Found]:
    """Predictions and failures of images, some images at a time.

    Args:
        images: id and source of each.
        recipe: what is to be done with them.
        classifier: made from that recipe.

    Raises:
        Exception: what was raised for images for no reason of theirs, if no image of all could be predicted. If others
            could, those images are failures: unreadable, or unexpected.
    """
    at_once = max(1, BATCHES_AT_ONCE * classifier.batch_size // (len(recipe.levels) * len(VIEWS)))
    rest = iter(images)
    odd: dict[int, Exception] = {}
    fine = False
    while some := list(islice(rest, at_once)):
        found = _predict(some, recipe, classifier, odd)
        fine = fine or bool(found.predicted)
        yield found
    if odd and not fine:
        raise next(iter(odd.values()))  # with every image: it is the machine
    if odd:
        yield Found([], [_odd(image_id, error) for image_id, error in odd.items()])


def _predict(
    images: Iterable[tuple[int, Source]], recipe: Recipe, classifier: Classifier, odd: dict[int, Exception]
) -> Found:
    found = Found([], [])
    usable: list[tuple[int, torch.Tensor]] = []
    for image_id, source in images:
        try:
            usable.append((image_id, views_of(source(), recipe, classifier.preprocessing)))
        except Unusable as reason:
            found.failed.append(Failed(image_id=image_id, code=reason.code, message=reason.message))
        except Exception as error:
            # Nobody foresaw it: whether it is the image or this machine, the other images tell.
            logger.warning("image %d: %s: %s", image_id, type(error).__name__, one_line(error))
            odd[image_id] = error
    if not usable:
        return found
    batch = torch.cat([views for _, views in usable])  # (images · levels · 3, 3, crop, crop)
    answers = classifier.predict(batch)
    shape = (len(usable), len(recipe.levels), len(VIEWS))
    labels, confidences = answers.labels.view(shape).tolist(), answers.confidences.view(shape).tolist()
    for number, (image_id, _) in enumerate(usable):
        if not answers.confidences.view(shape)[number].isfinite().all():
            found.failed.append(
                Failed(image_id=image_id, code="not_finite", message="the model's outputs are not numbers")
            )
            continue
        for sigma, level_labels, level_confidences in zip(
            recipe.levels, labels[number], confidences[number], strict=True
        ):
            found.predicted.append(_row(image_id, sigma, level_labels, level_confidences))
    return found


def views_of(pixels: Pixels, recipe: Recipe, preprocessing: Preprocessing) -> torch.Tensor:
    """All views of an image as the model is to see them: (levels · 3, 3, crop, crop), level by level.

    Raises:
        Unusable: too_small, too_narrow, out_of_memory.
    """
    try:
        epsilon = noise.draw(pixels.digest, recipe.seed, *pixels.image.shape[-2:])
        return torch.stack([
            fit(view, preprocessing)
            for sigma in recipe.levels
            for view in smooth(noise.add(pixels.image, epsilon, sigma), recipe.kernel_size, recipe.kernel_sigma)
        ])  # fmt: skip
    except RuntimeError as error:
        if "allocate memory" not in str(error):  # PyTorch's way to say it on a CPU
            raise
        raise Unusable("out_of_memory", "not enough memory for its noise and views") from None


def _odd(image_id: int, error: Exception) -> Failed:
    if isinstance(error, Refusal):
        return Failed(image_id=image_id, code="unreadable", message=one_line(error))
    return Failed(image_id=image_id, code="unexpected", message=f"{type(error).__name__}: {one_line(error)}")


def _row(image_id: int, sigma: float, labels: list[int], confidences: list[float]) -> Predicted:
    ns, ss, ds = labels
    return Predicted(
        image_id=image_id,
        sigma=sigma,
        label_ns=ns,
        confidence_ns=confidences[0],
        label_ss=ss,
        confidence_ss=confidences[1],
        label_ds=ds,
        confidence_ds=confidences[2],
        label_maj=majority(ns, ss, ds),
    )
