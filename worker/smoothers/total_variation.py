"""Total variation: the image u that minimises TV(u) + |u - x|²/2λ, for each channel: flat areas with sharp edges.

λ = WEIGHT·--kernel-sigma. u is x - λ·div p, where p is what ITERATIONS steps of a projection lead to: a fixed number,
so that an image does not depend on when others have converged.
Source: Rudin, Osher and Fatemi, "Nonlinear total variation based noise removal algorithms", 1992 (what is minimised);
Chambolle, "An algorithm for total variation minimization and applications", 2004, equation 9 (how).
"""

from typing import TYPE_CHECKING

from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch

#: λ at --kernel-sigma 1.
WEIGHT = 0.1
ITERATIONS = 50
#: Chambolle proves that 1/8 converges, and finds that 1/4 does.
STEP = 0.25
#: Added to squared slopes, so that the gradient of an attack is finite where an image is flat.
TINY = 1e-20


class TotalVariation(Smoother):
    """Total variation denoising, of a strength in proportion to --kernel-sigma."""

    name = "total_variation"
    uses = ("kernel_sigma",)
    differentiable = True

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, image by image: one fits the cache of a core."""
        import torch

        return torch.stack([_smoothed(image, WEIGHT * recipe.kernel_sigma) for image in images])


def _smoothed(image: "torch.Tensor", weight: float) -> "torch.Tensor":
    """S of one (3, H, W) image."""
    import torch

    down, right = torch.zeros_like(image), torch.zeros_like(image)  # p: zero beyond the last row and column
    for _ in range(ITERATIONS):
        ahead = _divergence(down, right) - image / weight
        slope_down = torch.nn.functional.pad(ahead[:, 1:] - ahead[:, :-1], (0, 0, 0, 1))
        slope_right = torch.nn.functional.pad(ahead[:, :, 1:] - ahead[:, :, :-1], (0, 1))
        shrink = 1 + STEP * (slope_down**2 + slope_right**2 + TINY).sqrt()
        down = (down + STEP * slope_down) / shrink
        right = (right + STEP * slope_right) / shrink
    return (image - weight * _divergence(down, right)).clamp(0, 1)


def _divergence(down: "torch.Tensor", right: "torch.Tensor") -> "torch.Tensor":
    """div p: the negative adjoint of the differences to the pixels below and to the right."""
    from torch.nn import functional

    above, left = functional.pad(down[:, :-1], (0, 0, 1, 0)), functional.pad(right[:, :, :-1], (1, 0))
    return down - above + right - left


MEMBER = TotalVariation()
