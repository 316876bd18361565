"""Gaussian noise, the article's perturbation: x = clamp(I + σ·ε, 0, 1) with ε ~ N(0, 1) for each value.

Source: "Dealing with Adversarial Inputs for Image Classification".
"""

from typing import TYPE_CHECKING

from db.axis import NOISE
from db.recipe import DEFAULT_LEVELS
from worker.keys import Key
from worker.perturbations import Pointwise

if TYPE_CHECKING:
    import torch


class Gaussian(Pointwise):
    """Gaussian noise of standard deviation σ on every value of every pixel, clamped to [0, 1]."""

    name = "gaussian"
    axis = NOISE
    levels = DEFAULT_LEVELS
    limits = (0, 10)

    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """ε, (3, H, W) float32. Its key has no purpose, as when there was no other perturbation."""
        import torch

        return torch.randn(3, height, width, generator=key.generator())

    def at(self, values: "torch.Tensor", field: "torch.Tensor", level: float) -> "torch.Tensor":
        """As Pointwise; σ = 0 returns the values as they are."""
        import torch

        return values if level == 0 else torch.add(values, field, alpha=level).clamp_(0, 1)


MEMBER = Gaussian()
