"""Images: a file's bytes become the pixels that noise is added to."""

import hashlib
from typing import NamedTuple

import numpy as np
import torch

from worker.decode import DEEP_MODES, GREY_MODES, MAX_SIDE, opened, to_rgb, to_shares, turn_upright
from worker.unusable import Unusable


class Pixels(NamedTuple):
    """A decoded image: upright, RGB, at its own size."""

    #: (H, W, 3) on the CPU: uint8, or float32 in [0, 1] if the file has more than 8 bits a channel.
    values: torch.Tensor
    #: The sha256 of the file's bytes. It keys the image's noise.
    digest: bytes

    @property
    def image(self) -> torch.Tensor:
        """(3, H, W) float32 in [0, 1]."""
        return to_unit(self.values.permute(2, 0, 1).contiguous())


def to_unit(values: torch.Tensor) -> torch.Tensor:
    """Scales uint8 values to float32 in [0, 1]; float32 values are in that range already."""
    return values.float().div_(255) if values.dtype == torch.uint8 else values


def decode(data: bytes, *, grayscale: str, max_pixels: int, max_side: int = MAX_SIDE) -> Pixels:
    """Decodes an image file: its first frame, upright by its EXIF orientation, as RGB.

    Args:
        data: the bytes of the file.
        grayscale: "convert" repeats the one channel of a grey image three times; "skip" refuses grey images.
        max_pixels: of an image with more pixels, only the header is read.
        max_side: of an image with a longer side, only the header is read.

    Raises:
        Unusable: not_an_image, too_many_pixels, too_long, truncated, out_of_memory, unsupported_mode or grayscale.
    """
    with opened(data, max_pixels=max_pixels, max_side=max_side) as image:
        if grayscale == "skip" and image.mode in GREY_MODES:
            raise Unusable("grayscale", f"one channel (mode {image.mode}), and the recipe skips those")
        turn_upright(image)
        if image.mode in DEEP_MODES:
            values = np.repeat(to_shares(image)[:, :, None], 3, axis=2)
        else:
            values = np.array(to_rgb(image))  # copied: PyTorch must not write to Pillow's memory
    return Pixels(torch.from_numpy(values), hashlib.sha256(data).digest())
