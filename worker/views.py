"""Views: what the model sees of an image at each level: x, S(x) and S(S(x)), each resized and cropped.

There are two ways to compute them. ``plain_views`` takes one step after the other on the whole image; it is the
reference. ``draw_views`` is fast: two sparse products a view give just what the crop sees (worker/matrices.py).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from db.errors import Refusal, WrongUse
from db.recipe import UNSMOOTHED, VIEWS, Preprocessing, Recipe
from worker.images import Pixels, to_unit
from worker.keys import Key
from worker.lanes import batched
from worker.matrices import AxisMatrices, matrices_of
from worker.perturbations import PERTURBATIONS, Aim, Perturbation, Pointwise, Subject
from worker.preprocess import fit, resized_sides
from worker.smoothers import SMOOTHERS, Separable, Smoother
from worker.unusable import Unusable

#: Pixels that a smoother gets at a time if it is not separable: all levels of a photograph together, those of a large
#: image one by one.
SMOOTHED_AT_ONCE = 1_000_000
#: An image whose resized long side would have more pixels is a strip: it is never resized as a whole.
LONGEST_PLAIN_SIDE = 16_384
#: A recipe that leaves an image as it is.
UNTOUCHED = Recipe(levels=(0,), smoother=UNSMOOTHED)


class Steps(NamedTuple):
    """What a recipe does to an image before it is resized."""

    perturbation: Perturbation
    smoother: Smoother


def steps_of(recipe: Recipe) -> Steps:
    """The perturbation and the smoother that a recipe names.

    Raises:
        Refusal: if this worker does not have one of them or the smoother's weights, or the perturbation does not take
            the recipe's options.
    """
    try:
        steps = Steps(PERTURBATIONS.find(recipe.perturbation), SMOOTHERS.find(recipe.smoother))
        steps.perturbation.settle(dict(recipe.options or ()))
    except WrongUse as error:
        raise Refusal(f"this machine cannot do the run: {error}; is it older than the run? update it") from None
    steps.smoother.prepare(recipe)
    return steps


def draw_field(pixels: Pixels, recipe: Recipe) -> torch.Tensor:
    """The random field of an image in a run, on the CPU: (3, H, W), (1, H, W), or empty."""
    height, width = pixels.values.shape[:2]
    return steps_of(recipe).perturbation.draw(Key(pixels.digest, recipe.seed), height, width)


def draw_views(
    pixels: Pixels, field: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, device: torch.device,
    aim: Aim | None = None,
) -> torch.Tensor:  # fmt: skip
    """All views of an image: (levels · 3, 3, crop, crop) float32 in [0, 1] on the device, level by level.

    Within 1e-6 of what ``plain_views`` computes.

    Args:
        pixels: of the image.
        field: as ``draw_field`` returned it.
        recipe: names perturbation, levels and smoother.
        preprocessing: for resize and crop.
        device: where the views are wanted.
        aim: the model and the image's label, for a perturbation that needs them.

    Raises:
        Unusable: too_small, too_narrow.
        Refusal: if this worker does not have the steps, or there is no model for a perturbation that needs it.
    """
    height, width = pixels.values.shape[:2]
    steps = steps_of(recipe)
    _check_size(height, width, recipe, steps.smoother)
    axes = down, across = matrices_of(height, width, recipe, preprocessing, device)
    if isinstance(steps.perturbation, Pointwise) and isinstance(steps.smoother, Separable):
        planes = _pointwise_planes(pixels, field, recipe, steps.perturbation, axes, device)
    else:
        subject = _subject(pixels, field, recipe, preprocessing, device, aim)
        planes = _whole_planes(subject, steps, axes)
    crop = preprocessing.crop
    views = torch.empty(len(recipe.levels), len(VIEWS), 3, crop, crop, device=device)
    for level, view, channel, values in planes:
        columns = across.all_views.times(values).view(len(across.views), crop, -1)  # (views, crop, h)
        for further, rows in enumerate(down.views):
            views[level, view + further, channel] = rows.times(columns[further].t().contiguous())
    return views.flatten(0, 1)


def plain_views(
    pixels: Pixels, field: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, wanted: Sequence[int],
    aim: Aim | None = None,
) -> torch.Tensor:  # fmt: skip
    """The same views, one step after the other on the whole image, on the CPU: (wanted, 3, crop, crop).

    Args:
        wanted: numbers of the views wanted, as ``draw_views`` counts them.

    Raises:
        Unusable, Refusal: as ``draw_views``.
    """
    perturbation, smoother = steps_of(recipe)
    height, width = pixels.values.shape[:2]
    _check_size(height, width, recipe, smoother)
    subject = _subject(pixels, field, recipe, preprocessing, torch.device("cpu"), aim)
    levels = sorted({number // len(VIEWS) for number in wanted})
    perturbed = perturbation.perturb(subject, [recipe.levels[level] for level in levels])
    found = {}
    for level, smoothed in zip(levels, perturbed, strict=True):
        for view in range(len(VIEWS)):
            if view:
                smoothed = smoother.smooth(smoothed[None], recipe)[0]
            if (number := level * len(VIEWS) + view) in wanted:
                found[number] = fit(smoothed, preprocessing)
    return torch.stack([found[number] for number in wanted])


def merges_steps(pixels: Pixels, recipe: Recipe, preprocessing: Preprocessing) -> bool:
    """Whether the views of an image are worth drawing again, plainly, where rounding could decide between two labels.

    They are if perturbing, smoothing and resizing were merged. Otherwise drawing again repeats the same perturbation
    and smoother, perhaps an attack of minutes. A strip is never drawn plainly: resized whole, it takes gigabytes.
    """
    perturbation, smoother = steps_of(recipe)
    height, width = pixels.values.shape[:2]
    longest = max(resized_sides(height, width, preprocessing.resize))
    return isinstance(perturbation, Pointwise) and isinstance(smoother, Separable) and longest <= LONGEST_PLAIN_SIDE


def fitted(pixels: Pixels, recipe: Recipe, preprocessing: Preprocessing) -> torch.Tensor:
    """An image as it is, resized and cropped, on the CPU: (3, crop, crop). A certificate adds its noise to this.

    Args:
        pixels: of the image.
        recipe: names the smoother, which will get images of the crop's size.
        preprocessing: for resize and crop.

    Raises:
        Unusable: too_small, too_narrow.
    """
    height, width = pixels.values.shape[:2]
    _check_size(preprocessing.crop, preprocessing.crop, recipe, SMOOTHERS.find(recipe.smoother))
    if max(resized_sides(height, width, preprocessing.resize)) <= LONGEST_PLAIN_SIDE:
        return fit(pixels.image, preprocessing)
    field = torch.zeros(1, height, width)
    return draw_views(pixels, field, UNTOUCHED, preprocessing, torch.device("cpu"))[0]


class Plane(NamedTuple):
    """One channel of the part of an image that the crop can see, before it is resized."""

    level: int
    #: Number of the view that is made of it; of the first one, if all three are made of x.
    view: int
    channel: int
    #: (w, h): on its side, since columns are multiplied first.
    values: torch.Tensor


def _pointwise_planes(
    pixels: Pixels, field: torch.Tensor, recipe: Recipe, perturbation: Pointwise,
    axes: tuple[AxisMatrices, AxisMatrices], device: torch.device,
) -> Iterator[Plane]:  # fmt: skip
    """Planes of x. Only the part that the crop can see is perturbed."""
    down, across = axes
    image = to_unit(_sent(pixels.values[down.first : down.last, across.first : across.last].permute(2, 1, 0), device))
    seen = _sent(field[:, down.first : down.last, across.first : across.last].permute(0, 2, 1), device)
    seen = seen.expand(3, -1, -1)
    for number, level in enumerate(recipe.levels):
        for channel in range(3):  # one by one: a channel fits the cache of a core
            yield Plane(number, 0, channel, perturbation.at(image[channel], seen[channel], level))


def _whole_planes(subject: Subject, steps: Steps, axes: tuple[AxisMatrices, AxisMatrices]) -> Iterator[Plane]:
    """Planes of x, perturbed as a whole; with a smoother that is not separable, also those of S(x) and S(S(x))."""
    down, across = axes
    height, width = subject.image.shape[-2:]
    perturbed = steps.perturbation.perturb(subject, subject.recipe.levels)
    views = 1 if isinstance(steps.smoother, Separable) else len(VIEWS)
    at_once = max(1, SMOOTHED_AT_ONCE // (height * width))
    for group in batched(enumerate(perturbed), at_once):
        images = torch.stack([x for _, x in group])  # (levels, 3, H, W)
        for view in range(views):
            if view:
                images = steps.smoother.smooth(images, subject.recipe)
            for (level, _), image in zip(group, images, strict=True):
                seen = image[:, down.first : down.last, across.first : across.last].permute(0, 2, 1).contiguous()
                yield from (Plane(level, view, channel, seen[channel]) for channel in range(3))


def _subject(
    pixels: Pixels, field: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, device: torch.device,
    aim: Aim | None,
) -> Subject:  # fmt: skip
    if aim is None and PERTURBATIONS.find(recipe.perturbation).needs_model:
        raise Refusal(f"the perturbation {recipe.perturbation} needs the model, which is not loaded here")
    image = to_unit(_sent(pixels.values.permute(2, 0, 1), device))
    key = Key(pixels.digest, recipe.seed)
    return Subject(image, _sent(field, device), key, recipe, preprocessing, aim)


def _check_size(height: int, width: int, recipe: Recipe, smoother: Smoother) -> None:
    smallest = smoother.smallest_side(recipe)
    if min(height, width) < smallest:
        raise Unusable("too_small", f"{width}×{height}; smoothing needs {smallest} pixels a side, or more")


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On the device, contiguous; the copy to a GPU goes on while this thread does other work."""
    tensor = tensor.contiguous()
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
