"""The views of an image as the model is to see them: noise, smoothing, resize and crop in two sparse products a view.

Smoothing, resizing and cropping are each linear and separable, so that each view is L · x · Rᵀ, with two matrices that
hang on nothing but the image's size. Their rows have a few weights side by side (7 on average, for 500×375 pixels), and
are applied as bags of weighted rows. The weights are not computed here: kornia and torchvision are asked for them, by
what they make of combs. And what the crop cannot see is left out: 39 % of such a photograph.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as T

from db.recipe import VIEWS, Preprocessing, Recipe
from worker import noise
from worker.images import Pixels, to_unit
from worker.preprocess import check_sides, crop_offset, fit, resized_sides
from worker.smoothing import blur, check_size, smooth


def draw_views(
    pixels: Pixels, epsilon: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, device: torch.device
) -> torch.Tensor:
    """All views of an image: (levels · 3, 3, crop, crop) float32 in [0,1] on the device, level by level.

    Within 1e-6 of what ``plain_views`` computes.

    Args:
        pixels: of the image.
        epsilon: its noise, (3, H, W).
        recipe: for levels and kernel.
        preprocessing: for resize and crop.
        device: where the views are wanted.

    Raises:
        Unusable: too_small, too_narrow.
    """
    height, width = pixels.values.shape[:2]
    down, across = _axes(height, width, recipe, preprocessing, device)
    # Columns first, and so the image on its side: (3, w, h), of the part that the crop can see.
    image = to_unit(_sent(pixels.values[down.first : down.last, across.first : across.last].permute(2, 1, 0), device))
    field = _sent(epsilon[:, down.first : down.last, across.first : across.last].permute(0, 2, 1), device)
    crop = preprocessing.crop
    views = torch.empty(len(recipe.levels), len(VIEWS), 3, crop, crop, device=device)
    for level, sigma in enumerate(recipe.levels):
        for channel in range(3):  # one by one: what is computed with stays in a core's cache
            noisy = noise.add(image[channel], field[channel], sigma)
            columns = across.all_views.of(noisy).view(len(VIEWS), crop, -1)  # (3, crop, h)
            for view, rows in enumerate(down.views):
                views[level, view, channel] = rows.of(columns[view].t().contiguous())
    return views.flatten(0, 1)


def plain_views(
    pixels: Pixels, epsilon: torch.Tensor, recipe: Recipe, preprocessing: Preprocessing, wanted: Sequence[int]
) -> torch.Tensor:
    """The same, one step after the other on the whole image, by kornia and torchvision: what all else is measured by.

    Args:
        wanted: numbers of the views wanted, as ``draw_views`` counts them.
    """
    image = pixels.image
    found = {}
    for level in {number // len(VIEWS) for number in wanted}:
        noisy = noise.add(image, epsilon, recipe.levels[level])
        for view, smoothed in enumerate(smooth(noisy, recipe.kernel_size, recipe.kernel_sigma)):
            if (number := level * len(VIEWS) + view) in wanted:
                found[number] = fit(smoothed, preprocessing)
    return torch.stack([found[number] for number in wanted])


def _sent(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On the device, contiguous; to a GPU it goes while this thread goes on."""
    tensor = tensor.contiguous()
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Bags(NamedTuple):
    """A sparse matrix, as bags of weighted rows of what it is applied to."""

    indices: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor

    def of(self, table: torch.Tensor) -> torch.Tensor:
        """The matrix (M, N) times a dense (N, D) one: (M, D)."""
        return F.embedding_bag(self.indices, table, self.offsets, mode="sum", per_sample_weights=self.weights)


class Axis(NamedTuple):
    """What happens along one axis of an image: smoothing, resize and crop, for each view."""

    #: The part of the axis that the crop can see.
    first: int
    last: int
    #: (crop, last - first) each.
    views: tuple[Bags, ...]
    #: (3 · crop, last - first): of all views, one below the other.
    all_views: Bags


def _axes(
    height: int, width: int, recipe: Recipe, preprocessing: Preprocessing, device: torch.device
) -> tuple[Axis, Axis]:
    check_size(height, width, recipe.kernel_size)
    check_sides(height, width, preprocessing)
    down, across = (
        _axis(
            side, resized, preprocessing.crop, preprocessing.interpolation, preprocessing.antialias,
            recipe.kernel_size, recipe.kernel_sigma, device,
        )
        for side, resized in zip((height, width), resized_sides(height, width, preprocessing.resize), strict=True)
    )  # fmt: skip
    return down, across


@lru_cache(maxsize=128)
def _axis(
    side: int, resized: int, crop: int, interpolation: str, antialias: bool, kernel_size: int, kernel_sigma: float,
    device: torch.device,
) -> Axis:  # fmt: skip
    """Asks kornia and torchvision what each pixel of the crop makes of the image's.

    It sees a few neighbours of the image's only, fewer than ``teeth``. So columns that are 1 at every teeth-th row, and
    0 elsewhere, tell its weights for one neighbour each.
    """
    scale = side / resized
    # How far it sees to either side: the interpolation's reach, and that of two blurs.
    reach = (2 if interpolation == "bicubic" else 1) * (max(scale, 1) if antialias else 1) + 2 * (kernel_size // 2)
    teeth = min(side, 2 * math.ceil(reach) + 3)
    rows = torch.arange(side)
    combs = torch.zeros(1, 1, side, teeth)
    combs[0, 0, rows, rows % teeth] = 1
    offset = crop_offset(resized, crop)
    middle = ((torch.arange(crop, dtype=torch.float64) + offset + 0.5) * scale - 0.5).round().long()
    lowest = (middle - teeth // 2).clamp(0, side - teeth)[:, None]
    neighbours = lowest + (torch.arange(teeth) - lowest) % teeth  # (crop, teeth): which row each comb tells of

    weights = []
    for view in range(len(VIEWS)):
        combs = combs if view == 0 else blur(combs, (kernel_size, 1), kernel_sigma)
        # In three channels, as a view has: of one alone PyTorch takes another way, which rounds otherwise.
        fitted = T.resize(
            combs[0].expand(3, -1, -1), [resized, teeth],
            interpolation=InterpolationMode(interpolation), antialias=antialias,
        )  # fmt: skip
        weights.append(fitted[0, offset : offset + crop])
    seen = neighbours.repeat(len(VIEWS), 1)[torch.cat(weights) != 0]
    first, last = int(seen.min()), int(seen.max()) + 1
    views = tuple(_bags(neighbours - first, one, device) for one in weights)
    return Axis(first, last, views, _bags((neighbours - first).repeat(len(VIEWS), 1), torch.cat(weights), device))


def _bags(neighbours: torch.Tensor, weights: torch.Tensor, device: torch.device) -> Bags:
    """Of (rows, teeth) indices and weights, without those that weigh nothing."""
    weigh = weights != 0
    ends = weigh.sum(1).cumsum(0)
    offsets = torch.cat([ends.new_zeros(1), ends[:-1]])
    return Bags(neighbours[weigh].int().to(device), offsets.int().to(device), weights[weigh].to(device))
