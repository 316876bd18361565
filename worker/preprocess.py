"""From a view to the model's input: resize the short side, crop the centre. The classifier normalises."""

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from db.recipe import Preprocessing
from worker.unusable import Unusable

#: The longest side that an image may be resized to. That of 3×3000 pixels would be 256,000; the weights of so many are
#: worked out before all but the crop's are thrown away, in up to half a gigabyte.
LONGEST_SIDE = 262_144


def fit(view: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """A (3, H, W) view as (3, crop, crop), the way torchvision's own presets do it: the whole view is resized.

    Raises:
        Unusable: too_narrow.
    """
    height, width = view.shape[-2:]
    check_sides(height, width, preprocessing)
    resized = F.resize(
        view,
        [preprocessing.resize],
        interpolation=InterpolationMode(preprocessing.interpolation),
        antialias=preprocessing.antialias,
    )
    cropped: torch.Tensor = F.center_crop(resized, [preprocessing.crop, preprocessing.crop])
    return cropped


def check_sides(height: int, width: int, preprocessing: Preprocessing) -> None:
    """Refuses an image that is much longer than wide.

    Raises:
        Unusable: too_narrow.
    """
    longest = max(resized_sides(height, width, preprocessing.resize))
    if longest > LONGEST_SIDE:
        raise Unusable("too_narrow", f"{width}×{height}; resized, its long side would be {longest} pixels")


def resized_sides(height: int, width: int, resize: int) -> tuple[int, int]:
    """Height and width to which torchvision resizes an image whose short side becomes ``resize``."""
    long = int(resize * max(height, width) / min(height, width))
    return (resize, long) if height <= width else (long, resize)


def crop_offset(side: int, crop: int) -> int:
    """Where torchvision's centre crop begins."""
    return round((side - crop) / 2)
