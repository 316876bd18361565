"""The median of the kernel_size × kernel_size pixels around each pixel, for each channel, with reflected borders.

Source: kornia.filters.median_blur.
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch

#: Values that are sorted at a time, each kernel_size² times: kornia copies an image that often. So few also fit the
#: cache of a core, which makes it faster.
VALUES = 4_000_000


class Median(Smoother):
    """Median of the --kernel-size × --kernel-size pixels around each pixel, with reflected borders."""

    name = "median"
    uses = ("kernel_size",)
    differentiable = True

    def smallest_side(self, recipe: Recipe) -> int:
        """Half a kernel and a pixel: a border is reflected without its edge."""
        return recipe.kernel_size // 2 + 1

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, in bands of rows."""
        import torch
        from kornia.filters import median_blur

        size, half = recipe.kernel_size, recipe.kernel_size // 2
        count, channels, height, width = images.shape
        padded = torch.nn.functional.pad(images, (half, half, half, half), mode="reflect")
        # No fewer rows than the kernel has: those above and below a band are sorted with it.
        rows = max(size, VALUES // (count * channels * width * size * size))
        bands = [
            median_blur(padded[:, :, top : top + rows + 2 * half], size)[:, :, half:-half, half:-half]
            for top in range(0, height, rows)
        ]
        return torch.cat(bands, dim=2)


MEMBER = Median()
