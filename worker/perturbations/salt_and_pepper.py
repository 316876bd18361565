"""Salt-and-pepper noise: a share d of the pixels becomes black or white, with equal chance.

Each pixel has one number u, uniform in [0, 1), that all channels share: it is black where u < d/2 and white where
u ≥ 1 - d/2. So the pixels that a level changes are among those that every higher level changes, to the same colour.
"""

from typing import TYPE_CHECKING

from db.axis import Axis
from worker.keys import Key
from worker.perturbations import Pointwise

if TYPE_CHECKING:
    import torch


class SaltAndPepper(Pointwise):
    """A share d of the pixels becomes black or white, all channels of a pixel together."""

    name = "salt_and_pepper"
    axis = Axis("d", "noise density", "share of pixels")
    levels = (0.0, 0.05, 0.1, 0.2)
    limits = (0, 1)

    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """u, (1, H, W) float32."""
        import torch

        return torch.rand(1, height, width, generator=key.generator(self.name))

    def at(self, values: "torch.Tensor", field: "torch.Tensor", level: float) -> "torch.Tensor":
        """As Pointwise."""
        return values.masked_fill(field < level / 2, 0).masked_fill(field >= 1 - level / 2, 1)


MEMBER = SaltAndPepper()
