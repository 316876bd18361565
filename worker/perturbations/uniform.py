"""Uniform noise: x = clamp(I + a·u, 0, 1) with u uniform in [-1, 1) for each value.

Its standard deviation is a/√3, so that a = .433 is as strong as Gaussian noise of σ = .25, where nothing is clamped.
"""

from typing import TYPE_CHECKING

from db.axis import Axis
from worker.keys import Key
from worker.perturbations import Pointwise

if TYPE_CHECKING:
    import torch


class Uniform(Pointwise):
    """Uniform noise between -a and a on every value of every pixel, clamped to [0, 1]."""

    name = "uniform"
    axis = Axis("a", "noise amplitude", "pixels in [0, 1]")
    levels = (0.0, 0.2, 0.4, 0.6)
    limits = (0, 10)

    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """u, (3, H, W) float32."""
        import torch

        return torch.rand(3, height, width, generator=key.generator(self.name)).mul_(2).sub_(1)

    def at(self, values: "torch.Tensor", field: "torch.Tensor", level: float) -> "torch.Tensor":
        """As Pointwise; a = 0 returns the values as they are."""
        import torch

        return values if level == 0 else torch.add(values, field, alpha=level).clamp_(0, 1)


MEMBER = Uniform()
