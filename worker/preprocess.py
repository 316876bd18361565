"""From a view to the model's input: short side, centre crop. Normalisation belongs to the classifier."""

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from db.recipe import Preprocessing
from worker.images import Unusable

#: A longer side than this after resizing comes of a strip of pixels, and would take gigabytes.
LONGEST_SIDE = 16_384


def fit(view: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """A (3, H, W) view as (3, crop, crop).

    Raises:
        Unusable: too_narrow, if nothing in it could be seen.
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
    """Raises Unusable, too_narrow, where resizing would make a strip."""
    longest = preprocessing.resize * max(height, width) / min(height, width)
    if longest > LONGEST_SIDE:
        raise Unusable("too_narrow", f"{width}×{height}; resized, its long side would be {longest:.0f} pixels")


def resized_sides(height: int, width: int, resize: int) -> tuple[int, int]:
    """Height and width that torchvision gives an image whose short side it is to make ``resize``."""
    long = int(resize * max(height, width) / min(height, width))
    return (resize, long) if height <= width else (long, resize)


def crop_offset(side: int, crop: int) -> int:
    """Where torchvision's centre crop begins."""
    return round((side - crop) / 2)
