"""Poisson noise, that of counting photons: x = clamp(σ²·N, 0, 1) with N ~ Poisson(I/σ²) for each value.

A white pixel is 1/σ² photons on average. So the level σ is the standard deviation of a white pixel before clamping;
that of a pixel of value v is σ·√v. ImageNet-C's shot noise of 60 to 3 photons is σ = .129 to .577.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from db.axis import Axis
from db.errors import WrongUse
from worker.perturbations import Perturbation, Subject

if TYPE_CHECKING:
    import torch


#: The least level above 0: a million photons for white. Counts of many more do not fit a float32.
LEAST = 0.001


class Poisson(Perturbation):
    """Photon counts in the place of each value of each pixel, 1/σ² photons for white."""

    name = "poisson"
    axis = Axis("σ", "photon noise level", "standard deviation of a white pixel")
    levels = (0.0, 0.125, 0.25, 0.375)
    limits = (0, 1)

    def check(self, levels: Sequence[float]) -> None:
        """As Perturbation."""
        super().check(levels)
        for level in levels:
            if 0 < level < LEAST:
                raise WrongUse(f"--levels: {level:g} is too low; {self.name} takes σ = 0, or from {LEAST:g} on")

    def perturb(self, subject: Subject, levels: Sequence[float]) -> "Iterator[torch.Tensor]":
        """As Perturbation; σ = 0 returns the image as it is.

        Photons are counted anew for each level, on the CPU: there is no field of counts that levels could share.
        """
        import torch

        for level in levels:
            if level == 0:
                yield subject.image
                continue
            photon = level**2
            generator = subject.key.generator(self.name, level)
            counts = torch.poisson(subject.image.cpu() / photon, generator=generator)
            yield counts.mul_(photon).clamp_(0, 1).to(subject.image.device)


MEMBER = Poisson()
