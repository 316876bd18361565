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
WEIGHT = 0.2
ITERATIONS = 50
#: Chambolle proves that 1/8 converges, and finds that 1/4 does.
STEP = 0.25


class TotalVariation(Smoother):
    """Total variation denoising, of a strength in proportion to --kernel-sigma."""

    name = "total_variation"
    uses = ("kernel_sigma",)

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, image by image: one fits the cache of a core."""
        import torch

        return torch.stack([_smoothed(image, WEIGHT * recipe.kernel_sigma) for image in images])


def _smoothed(image: "torch.Tensor", weight: float) -> "torch.Tensor":
    """S of one (3, H, W) image."""
    import torch

    down, right = torch.zeros_like(image), torch.zeros_like(image)  # p: zero beyond the last row and column
    for _ in range(ITERATIONS):
        ahead = _divergence(down, right).sub_(image, alpha=1 / weight)
        slope_down, slope_right = torch.zeros_like(image), torch.zeros_like(image)
        torch.sub(ahead[:, 1:], ahead[:, :-1], out=slope_down[:, :-1])
        torch.sub(ahead[:, :, 1:], ahead[:, :, :-1], out=slope_right[:, :, :-1])
        shrink = torch.hypot(slope_down, slope_right).mul_(STEP).add_(1)
        down.add_(slope_down, alpha=STEP).div_(shrink)
        right.add_(slope_right, alpha=STEP).div_(shrink)
    return torch.sub(image, _divergence(down, right), alpha=weight).clamp_(0, 1)


def _divergence(down: "torch.Tensor", right: "torch.Tensor") -> "torch.Tensor":
    """div p: the negative adjoint of the differences to the pixels below and to the right."""
    divergence = down + right
    divergence[:, 1:] -= down[:, :-1]
    divergence[:, :, 1:] -= right[:, :, :-1]
    return divergence


MEMBER = TotalVariation()
