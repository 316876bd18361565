"""JPEG: an image is compressed and decompressed, which drops fine detail, in colour more than in brightness.

The quantisation steps are --kernel-sigma times those of the standard's tables, as quality 50 has them: 1 is quality 50,
0.5 is 75, 2 is 25. Colour is stored at half the resolution (4:2:0), as Pillow does where nothing else is asked for.
A second pass changes little: its steps are those of the first. Images visit the CPU, in 8 bits.
Source: Guo et al., "Countering adversarial images using input transformations", 2018.
"""

from io import BytesIO
from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch


class Jpeg(Smoother):
    """JPEG compression of quality 50; --kernel-sigma 0.5 is quality 75, 2 is 25."""

    name = "jpeg"
    uses = ("kernel_sigma",)

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother."""
        import torch

        quality = quality_of(recipe.kernel_sigma)
        levels = images.mul(255).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).cpu()
        smoothed = torch.stack([_compressed(image, quality) for image in levels])  # (N, H, W, 3)
        return smoothed.to(images.device).permute(0, 3, 1, 2).contiguous().float().div_(255)


def quality_of(scale: float) -> int:
    """The quality, 1 to 100, whose quantisation steps are that multiple of those of quality 50."""
    quality = 100 - 50 * scale if scale < 1 else 50 / scale
    return max(1, round(quality))


def _compressed(image: "torch.Tensor", quality: int) -> "torch.Tensor":
    """(H, W, 3) bytes through a JPEG file in memory."""
    import numpy as np
    import torch
    from PIL import Image

    file = BytesIO()
    Image.fromarray(image.numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file)))


MEMBER = Jpeg()
