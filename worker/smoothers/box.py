"""The mean of the kernel_size × kernel_size pixels around each pixel, for each channel, with reflected borders.

Source: kornia.filters.box_blur.
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Separable

if TYPE_CHECKING:
    import torch


class Box(Separable):
    """Mean of the --kernel-size × --kernel-size pixels around each pixel, with reflected borders."""

    name = "box"
    uses = ("kernel_size",)
    differentiable = True

    def smallest_side(self, recipe: Recipe) -> int:
        """Half a kernel and a pixel: a border is reflected without its edge."""
        return recipe.kernel_size // 2 + 1

    def reach(self, recipe: Recipe) -> int:
        """As Separable."""
        return recipe.kernel_size // 2

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother."""
        return _blurred(images, (recipe.kernel_size, recipe.kernel_size))

    def along_height(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Separable."""
        return _blurred(images, (recipe.kernel_size, 1))


def _blurred(images: "torch.Tensor", kernel: tuple[int, int]) -> "torch.Tensor":
    """(N, C, H, W) under a kernel of that height and width."""
    from kornia.filters import box_blur

    blurred: torch.Tensor = box_blur(images, kernel, border_type="reflect")
    return blurred


MEMBER = Box()
