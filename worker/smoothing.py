"""Smoothing: the three views of an image. Before resizing, in [0,1] pixels: that is the article's order."""

from typing import NamedTuple

import torch
from kornia.filters import gaussian_blur2d

from worker.images import Unusable

VIEWS = ("ns", "ss", "ds")


class Views(NamedTuple):
    """No smoothing, single smoothing, double smoothing: each (3, H, W)."""

    ns: torch.Tensor
    ss: torch.Tensor
    ds: torch.Tensor


def smooth(image: torch.Tensor, kernel_size: int, kernel_sigma: float) -> Views:
    """The views of a (3, H, W) image, each the one before it under a Gaussian with reflected border.

    Two passes of 5×5 reach 9×9 pixels (the article says 7×7).

    Raises:
        Unusable: too_small, if there is too little of it for its border to be reflected.
    """
    height, width = image.shape[-2:]
    check_size(height, width, kernel_size)
    once = blur(image[None], (kernel_size, kernel_size), kernel_sigma)
    twice = blur(once, (kernel_size, kernel_size), kernel_sigma)
    return Views(image, once[0], twice[0])


def blur(images: torch.Tensor, kernel: tuple[int, int], sigma: float) -> torch.Tensor:
    """(N, C, H, W) under a Gaussian of that height and width."""
    blurred: torch.Tensor = gaussian_blur2d(images, kernel, (sigma, sigma), border_type="reflect")
    return blurred


def check_size(height: int, width: int, kernel_size: int) -> None:
    """Raises Unusable, too_small, where there are not the pixels for a border to be reflected."""
    if min(height, width) <= kernel_size // 2:
        raise Unusable(
            "too_small",
            f"{width}×{height}; a {kernel_size}×{kernel_size} kernel needs more than {kernel_size // 2} pixels a side",
        )
