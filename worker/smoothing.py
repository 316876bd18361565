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
    if min(height, width) <= kernel_size // 2:
        raise Unusable(
            "too_small",
            f"{width}×{height}; a {kernel_size}×{kernel_size} kernel needs more than {kernel_size // 2} pixels a side",
        )
    kernel, sigma = (kernel_size, kernel_size), (kernel_sigma, kernel_sigma)
    once = gaussian_blur2d(image[None], kernel, sigma, border_type="reflect")
    twice = gaussian_blur2d(once, kernel, sigma, border_type="reflect")
    return Views(image, once[0], twice[0])
