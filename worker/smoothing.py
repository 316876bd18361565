"""Smoothing: the three views of an image. Before resizing, in [0,1] pixels: that is the article's order."""

from collections.abc import Iterator

import torch
from kornia.filters import gaussian_blur2d

from db.recipe import VIEWS
from worker.unusable import Unusable


def smooth(image: torch.Tensor, kernel_size: int, kernel_sigma: float) -> Iterator[torch.Tensor]:
    """The views of a (3, H, W) image, each the one before it under a Gaussian with reflected border.

    One at a time: of a large image each takes a gigabyte. Two passes of 5×5 reach 9×9 pixels (the article says 7×7).

    Raises:
        Unusable: too_small, if there is too little of it for its border to be reflected.
    """
    height, width = image.shape[-2:]
    check_size(height, width, kernel_size)
    yield image
    for _ in VIEWS[1:]:
        image = blur(image[None], (kernel_size, kernel_size), kernel_sigma)[0]
        yield image


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
