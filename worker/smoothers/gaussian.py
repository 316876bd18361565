"""The article's smoother: a Gaussian kernel, 5×5 with sigma 1 by default, at reflected borders.

Two passes of 5×5 reach 9×9 pixels; the article says 7×7.
Source: "Dealing with Adversarial Inputs for Image Classification"; kornia.filters.gaussian_blur2d.
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Separable

if TYPE_CHECKING:
    import torch


class Gaussian(Separable):
    """Gaussian blur of --kernel-size and --kernel-sigma, with reflected borders."""

    name = "gaussian"
    uses = ("kernel_size", "kernel_sigma")
    differentiable = True

    def smallest_side(self, recipe: Recipe) -> int:
        """Half a kernel and a pixel: a border is reflected without its edge."""
        return recipe.kernel_size // 2 + 1

    def reach(self, recipe: Recipe) -> int:
        """As Separable."""
        return recipe.kernel_size // 2

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother."""
        return _blurred(images, (recipe.kernel_size, recipe.kernel_size), recipe.kernel_sigma)

    def along_height(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Separable."""
        return _blurred(images, (recipe.kernel_size, 1), recipe.kernel_sigma)


def _blurred(images: "torch.Tensor", kernel: tuple[int, int], sigma: float) -> "torch.Tensor":
    """(N, C, H, W) under a kernel of that height and width."""
    from kornia.filters import gaussian_blur2d

    blurred: torch.Tensor = gaussian_blur2d(images, kernel, (sigma, sigma), border_type="reflect")
    return blurred


MEMBER = Gaussian()
