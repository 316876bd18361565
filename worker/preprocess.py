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
    longest = preprocessing.resize * max(height, width) / min(height, width)
    if longest > LONGEST_SIDE:
        raise Unusable("too_narrow", f"{width}×{height}; resized, its long side would be {longest:.0f} pixels")
    resized = F.resize(
        view,
        [preprocessing.resize],
        interpolation=InterpolationMode(preprocessing.interpolation),
        antialias=preprocessing.antialias,
    )
    cropped: torch.Tensor = F.center_crop(resized, [preprocessing.crop, preprocessing.crop])
    return cropped
