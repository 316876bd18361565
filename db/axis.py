"""The axis of a run: what its levels measure. A run records it, so that a report names levels without a worker."""

from typing import NamedTuple


class Axis(NamedTuple):
    """How the levels of a perturbation are written."""

    #: Stands before a value: σ, ε, severity.
    symbol: str
    #: What a sentence calls a level: noise level, severity.
    title: str
    #: What the value is measured in; empty if it has no unit.
    unit: str = ""

    def at(self, level: float) -> str:
        """One level, such as ``σ = 0.25``."""
        return f"{self.symbol} = {level:g}"

    @property
    def label(self) -> str:
        """The label of a plot's axis, such as ``noise level σ (standard deviation of pixels in [0, 1])``."""
        name = self.title if self.symbol == self.title else f"{self.title} {self.symbol}"
        return f"{name} ({self.unit})" if self.unit else name


#: The axis of Gaussian noise, and of every run that was recorded before runs had an axis.
NOISE = Axis("σ", "noise level", "standard deviation of pixels in [0, 1]")
