"""Matrices: smoothing, resizing and cropping, merged into one sparse matrix for each axis of an image.

All three are linear and separable, so that a view is L · x · Rᵀ, with two matrices that depend on the recipe and the
image's size alone. A row of them has few weights, side by side (7 on average, for 500×375 pixels). The weights follow
no formula of our own: the smoother and torchvision are applied to combs, and the weights are read off the result.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as T

from db.recipe import VIEWS, Preprocessing, Recipe
from worker.preprocess import check_sides, crop_offset, resized_sides
from worker.smoothers import SMOOTHERS, Separable


class Bags(NamedTuple):
    """A sparse matrix, stored as bags of weighted rows of the matrix that it is multiplied with."""

    indices: torch.Tensor
    offsets: torch.Tensor
    weights: torch.Tensor

    def times(self, table: torch.Tensor) -> torch.Tensor:
        """The product of this (M, N) matrix and a dense (N, D) one: (M, D)."""
        return F.embedding_bag(self.indices, table, self.offsets, mode="sum", per_sample_weights=self.weights)


class AxisMatrices(NamedTuple):
    """What happens along one axis of an image, for each view that is made of the same pixels."""

    #: The part of the axis that the crop can see.
    first: int
    last: int
    #: (crop, last - first) each: all three views of x under a separable smoother, otherwise resize and crop alone.
    views: tuple[Bags, ...]
    #: (views · crop, last - first): the same, one below the other.
    all_views: Bags


def matrices_of(
    height: int, width: int, recipe: Recipe, preprocessing: Preprocessing, device: torch.device
) -> tuple[AxisMatrices, AxisMatrices]:
    """Down and across an image of this size.

    Raises:
        Unusable: too_narrow.
    """
    check_sides(height, width, preprocessing)
    down, across = (
        _along(side, resized, recipe, preprocessing, device)
        for side, resized in zip((height, width), resized_sides(height, width, preprocessing.resize), strict=True)
    )
    return down, across


@lru_cache(maxsize=128)
def _along(side: int, resized: int, recipe: Recipe, preprocessing: Preprocessing, device: torch.device) -> AxisMatrices:
    """Asks the smoother and torchvision which pixels of the image make up each pixel of the crop.

    A pixel of the crop depends on fewer than ``teeth`` neighbours. So combs, which are 1 at every teeth-th pixel and 0
    elsewhere, tell the weight of one neighbour each.
    """
    _, crop, interpolation, antialias, *_ = preprocessing
    smoother = SMOOTHERS.find(recipe.smoother)
    scale = side / resized
    # How far it sees to either side: the interpolation's reach, and that of two passes of the smoother.
    reach = (2 if interpolation == "bicubic" else 1) * (max(scale, 1) if antialias else 1)
    if isinstance(smoother, Separable):
        reach += (len(VIEWS) - 1) * smoother.reach(recipe)
    teeth = min(side, 2 * math.ceil(reach) + 3)
    rows = torch.arange(side)
    combs = torch.zeros(1, 1, side, teeth)
    combs[0, 0, rows, rows % teeth] = 1
    offset = crop_offset(resized, crop)
    middle = ((torch.arange(crop, dtype=torch.float64) + offset + 0.5) * scale - 0.5).round().long()
    lowest = (middle - teeth // 2).clamp(0, side - teeth)[:, None]
    neighbours = lowest + (torch.arange(teeth) - lowest) % teeth  # (crop, teeth): which row each comb tells of

    weights = []
    for view in range(len(VIEWS) if isinstance(smoother, Separable) else 1):
        if view and isinstance(smoother, Separable):
            combs = smoother.along_height(combs, recipe)
        # In three channels, as a view has: PyTorch resizes a single one by other code, which rounds differently.
        fitted = T.resize(
            combs[0].expand(3, -1, -1), [resized, teeth],
            interpolation=InterpolationMode(interpolation), antialias=antialias,
        )  # fmt: skip
        weights.append(fitted[0, offset : offset + crop].clone())  # frees the rest, which may be large
    seen = neighbours.repeat(len(weights), 1)[torch.cat(weights) != 0]
    first, last = int(seen.min()), int(seen.max()) + 1
    views = tuple(_bags(neighbours - first, one, device) for one in weights)
    all_views = _bags((neighbours - first).repeat(len(weights), 1), torch.cat(weights), device)
    return AxisMatrices(first, last, views, all_views)


def _bags(neighbours: torch.Tensor, weights: torch.Tensor, device: torch.device) -> Bags:
    """A sparse matrix from (rows, teeth) indices and weights, without the weights that are 0."""
    weigh = weights != 0
    ends = weigh.sum(1).cumsum(0)
    offsets = torch.cat([ends.new_zeros(1), ends[:-1]])
    return Bags(neighbours[weigh].int().to(device), offsets.int().to(device), weights[weigh].to(device))
