"""Speckle noise: x = clamp(I + σ·ε·I, 0, 1) with ε ~ N(0, 1) for each value. Bright pixels get more of it than dark
ones, and black ones none.
"""

from typing import TYPE_CHECKING

from db.axis import Axis
from worker.keys import Key
from worker.perturbations import Pointwise

if TYPE_CHECKING:
    import torch


class Speckle(Pointwise):
    """Gaussian noise in proportion to each value of each pixel, clamped to [0, 1]."""

    name = "speckle"
    axis = Axis("σ", "speckle level", "standard deviation as a share of the pixel")
    levels = (0.0, 0.15, 0.35, 0.6)
    limits = (0, 10)

    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """ε, (3, H, W) float32."""
        import torch

        return torch.randn(3, height, width, generator=key.generator(self.name))

    def at(self, values: "torch.Tensor", field: "torch.Tensor", level: float) -> "torch.Tensor":
        """As Pointwise; σ = 0 returns the values as they are."""
        import torch

        return values if level == 0 else torch.addcmul(values, values, field, value=level).clamp_(0, 1)


MEMBER = Speckle()
