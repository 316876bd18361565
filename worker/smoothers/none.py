"""No smoothing: S(x) = x. A certificate's copies are not smoothed unless another smoother is named."""

from typing import TYPE_CHECKING

from db.recipe import UNSMOOTHED, Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch


class Unsmoothed(Smoother):
    """Leaves images as they are: the default of `smoothvote certify`."""

    name = UNSMOOTHED
    differentiable = True

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother: the images themselves."""
        return images


MEMBER = Unsmoothed()
