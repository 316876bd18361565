"""A bilateral filter: a mean of the neighbours, of which those nearer and more alike in colour weigh more.

A neighbour at distance d, whose colour differs by c (Euclidean, over the three channels), weighs
exp(-d²/2s²)·exp(-c²/2·COLOR²), where s is --kernel-sigma. Borders are reflected.
Source: Tomasi and Manduchi, "Bilateral filtering for gray and color images", 1998; kornia.filters.bilateral_blur.
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch

#: Standard deviation of the weights over differences of colour; black and white differ by √3. Two pixels of one colour
#: differ by .6 on average under Gaussian noise of σ = .25: a smaller value would take that for an edge.
COLOR = 0.5


class Bilateral(Smoother):
    """Mean of --kernel-size × --kernel-size pixels, weighted by nearness (--kernel-sigma) and likeness in colour."""

    name = "bilateral"
    uses = ("kernel_size", "kernel_sigma")
    differentiable = True

    def smallest_side(self, recipe: Recipe) -> int:
        """Half a kernel and a pixel: a border is reflected without its edge."""
        return recipe.kernel_size // 2 + 1

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, image by image: on a GPU, kornia copies one kernel_size² times."""
        import torch
        from kornia.filters import bilateral_blur

        size, sigma = recipe.kernel_size, recipe.kernel_sigma
        smoothed = [
            bilateral_blur(image[None], size, COLOR, (sigma, sigma), border_type="reflect", color_distance_type="l2")
            for image in images
        ]
        return torch.cat(smoothed).clamp_(0, 1)


MEMBER = Bilateral()
