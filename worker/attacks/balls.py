"""Balls: all images within a distance ε of one image, in the L∞ or the L2 norm, and in [0, 1]."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch


class Ball(ABC):
    """The balls around one image at some levels, one for each image of a batch.

    Args:
        image: (3, H, W) in [0, 1], the centre.
        levels: ε, above 0.
    """

    def __init__(self, image: torch.Tensor, levels: Sequence[float]) -> None:
        self.image = image
        #: (levels, 1, 1, 1) float64.
        self.radii = torch.tensor(levels, dtype=torch.float64, device=image.device).view(-1, 1, 1, 1)

    @abstractmethod
    def start(self, level: int, generator: torch.Generator) -> torch.Tensor:
        """A random image (3, H, W) of the ball of a level, drawn on the CPU."""

    @abstractmethod
    def steepest(self, gradients: torch.Tensor) -> torch.Tensor:
        """The steps of length 1 that go up most steeply: (levels, 3, H, W)."""

    @abstractmethod
    def project(self, images: torch.Tensor) -> torch.Tensor:
        """The nearest images in the balls, from (levels, 3, H, W) images."""

    @abstractmethod
    def distances(self, images: torch.Tensor) -> torch.Tensor:
        """From the centre to each of (levels, 3, H, W) images: (levels,) float64."""

    def inside(self, images: torch.Tensor) -> torch.Tensor:
        """Projected images, moved further in where rounding left one outside.

        Each move is twice as far as the one before, to the centre at last: where ε is as small as what rounding adds up
        to over all values, as little as it takes would take thousands of moves.
        """
        images, nearer = self.project(images), 1e-6
        while (outside := self.distances(images) > self.radii.flatten()).any():
            moved = self.image + (images - self.image) * max(0.0, 1 - nearer)
            images = torch.where(outside.view(-1, 1, 1, 1), moved, images)
            nearer *= 2
        return images


class Linf(Ball):
    """No value differs by more than ε."""

    def __init__(self, image: torch.Tensor, levels: Sequence[float]) -> None:
        super().__init__(image, levels)
        # Rounded inwards: the difference is no larger than ε to the last bit.
        low, high = image.double() - self.radii, image.double() + self.radii
        self._low = _rounded(low, up=True).clamp_min(0)
        self._high = _rounded(high, up=False).clamp_max(1)

    def start(self, level: int, generator: torch.Generator) -> torch.Tensor:
        """As Ball: each value is uniform within ε, then clamped."""
        drawn = torch.rand(self.image.shape, generator=generator).mul_(2).sub_(1).mul_(float(self.radii[level]))
        started = self.image + drawn.to(self.image.device)
        return torch.minimum(torch.maximum(started, self._low[level]), self._high[level])

    def steepest(self, gradients: torch.Tensor) -> torch.Tensor:
        """As Ball."""
        signs: torch.Tensor = gradients.sign()
        return signs

    def project(self, images: torch.Tensor) -> torch.Tensor:
        """As Ball."""
        return torch.minimum(torch.maximum(images, self._low), self._high)

    def distances(self, images: torch.Tensor) -> torch.Tensor:
        """As Ball."""
        largest: torch.Tensor = (images.double() - self.image.double()).abs().amax(dim=(1, 2, 3))
        return largest


class L2(Ball):
    """The differences of all values, squared and added up, have a root of at most ε."""

    def start(self, level: int, generator: torch.Generator) -> torch.Tensor:
        """As Ball: uniform in the ball, then clamped."""
        # The first n of n + 2 numbers on a sphere are uniform in the ball. Source: A. R. Voelker, J. Gosmann,
        # T. C. Stewart, "Efficiently sampling vectors and coordinates from the n-sphere and n-ball", 2017.
        count = self.image.numel()
        drawn = torch.randn(count + 2, generator=generator)
        offset = torch.div(drawn, drawn.norm())[:count].mul_(float(self.radii[level])).view(self.image.shape)
        return (self.image + offset.to(self.image.device)).clamp_(0, 1)

    def steepest(self, gradients: torch.Tensor) -> torch.Tensor:
        """As Ball."""
        lengths: torch.Tensor = gradients.flatten(1).norm(dim=1).clamp_min(1e-12)
        unit: torch.Tensor = gradients / lengths.view(-1, 1, 1, 1)
        return unit

    def project(self, images: torch.Tensor) -> torch.Tensor:
        """As Ball. Clamping to [0, 1] leads no further away, because the centre is in [0, 1]."""
        lengths = self.distances(images).clamp_min(1e-12).view(-1, 1, 1, 1)
        factors = (self.radii / lengths).clamp_max(1).float()
        return (self.image + (images - self.image) * factors).clamp_(0, 1)

    def distances(self, images: torch.Tensor) -> torch.Tensor:
        """As Ball."""
        lengths: torch.Tensor = (images.double() - self.image.double()).flatten(1).norm(dim=1)
        return lengths


def _rounded(values: torch.Tensor, *, up: bool) -> torch.Tensor:
    """float64 values as the next float32 above or below."""
    near = values.float()
    passed = near.double() < values if up else near.double() > values
    return torch.where(passed, near.nextafter(torch.full_like(near, torch.inf if up else -torch.inf)), near)
