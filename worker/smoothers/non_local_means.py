"""Non-local means: a mean of the pixels around, of which those in the middle of a like patch weigh more.

Around each pixel, a window of --kernel-size × --kernel-size pixels is searched. A pixel whose 3×3 patch differs by m
(mean of the squared differences, over patch and channels) weighs exp(-m/h²), with h = H·--kernel-sigma. Borders are
reflected. It takes kernel_size² passes over the images: twice the kernel, four times as long.
Source: Buades, Coll and Morel, "A non-local algorithm for image denoising", 2005, computed offset by offset as by
Darbon et al., "Fast nonlocal filtering applied to electron cryomicroscopy", 2008.
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch

#: h at --kernel-sigma 1. m is .125 on average for two equal patches under Gaussian noise of σ = .25.
H = 0.3
#: Pixels from the middle of a patch to its edge.
PATCH = 1


class NonLocalMeans(Smoother):
    """Mean of --kernel-size × --kernel-size pixels, weighted by how alike their 3×3 patches are (--kernel-sigma)."""

    name = "non_local_means"
    uses = ("kernel_size", "kernel_sigma")
    differentiable = True

    def smallest_side(self, recipe: Recipe) -> int:
        """Half a kernel, half a patch and a pixel: a border is reflected without its edge."""
        return recipe.kernel_size // 2 + PATCH + 1

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, image by image: one fits the cache of a core."""
        import torch

        return torch.stack([_smoothed(image, recipe.kernel_size, H * recipe.kernel_sigma) for image in images])


def _smoothed(image: "torch.Tensor", size: int, h: float) -> "torch.Tensor":
    """S of one (3, H, W) image."""
    import torch
    from torch.nn import functional

    height, width = image.shape[-2:]
    edge = size // 2 + PATCH
    padded = functional.pad(image[None], (edge, edge, edge, edge), mode="reflect")[0]
    patched = padded[:, size // 2 :, size // 2 :][:, : height + 2 * PATCH, : width + 2 * PATCH]
    total, weights = torch.zeros_like(image), torch.zeros_like(image[0])
    for down in range(size):
        for right in range(size):
            other = padded[:, down : down + height + 2 * PATCH, right : right + width + 2 * PATCH]
            apart = (other - patched).square_().mean(0)  # (H + 2, W + 2)
            apart = functional.avg_pool2d(apart[None], 2 * PATCH + 1, stride=1)[0]  # (H, W): m of each pixel
            weight = apart.mul_(-1 / h**2).exp_()
            total.addcmul_(other[:, PATCH:-PATCH, PATCH:-PATCH], weight)
            weights += weight
    return total.div_(weights).clamp_(0, 1)


MEMBER = NonLocalMeans()
