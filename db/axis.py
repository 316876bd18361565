"""The axis of a run: what its levels measure. A run records it, so that a report names levels without a worker."""

import math
from typing import Literal, NamedTuple

#: What is done to the images: chance, a fixed change, or a change that somebody makes to deceive the model.
Kind = Literal["noise", "corruption", "attack"]


class Axis(NamedTuple):
    """How the levels of a perturbation are written."""

    #: Stands before a value: σ, ε, severity.
    symbol: str
    #: What a sentence calls a level: noise level, severity.
    title: str
    #: What the value is measured in; empty if it has no unit.
    unit: str = ""
    #: A level that is a whole number of such parts is written as a fraction: 255 writes 0.00392157 as 1/255.
    parts: int = 1
    #: Decides what a report says. Runs that were recorded before axes had kinds are of noise.
    kind: Kind = "noise"

    def at(self, level: float) -> str:
        """One level, such as ``σ = 0.25`` or ``ε = 1/255``."""
        return f"{self.symbol} = {self.number(level)}"

    def number(self, level: float) -> str:
        """A level without its symbol, such as ``0.25`` or ``1/255``."""
        if not math.isfinite(level):
            return f"{level:g}"  # what somebody asked for; no run has such a level
        whole = round(level * self.parts)
        if self.parts > 1 and 0 < whole < self.parts and math.isclose(whole / self.parts, level, rel_tol=1e-6):
            return f"{whole}/{self.parts}"
        return f"{level:g}"

    @property
    def label(self) -> str:
        """The label of a plot's axis, such as ``noise level σ (standard deviation of pixels in [0, 1])``."""
        name = self.title if self.symbol == self.title else f"{self.title} {self.symbol}"
        return f"{name} ({self.unit})" if self.unit else name


#: The axis of Gaussian noise, and of every run that was recorded before runs had an axis.
NOISE = Axis("σ", "noise level", "standard deviation of pixels in [0, 1]")
