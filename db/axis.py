"""The axis of a run: what its levels measure. A run records it, so that a report needs no worker to name its levels."""

from typing import NamedTuple


class Axis(NamedTuple):
    """How the levels of a perturbation are written."""

    #: Before a value: σ, ε, severity.
    symbol: str
    #: What a level is called in a sentence: noise level, severity.
    title: str
    #: What a value is measured in; empty where it has no unit.
    unit: str = ""

    def at(self, level: float) -> str:
        """One level, as in ``σ = 0.25``."""
        return f"{self.symbol} = {level:g}"

    @property
    def label(self) -> str:
        """What stands beside a plot's axis, as in ``noise level σ (standard deviation of pixels in [0, 1])``."""
        return f"{self.title} {self.symbol}".removesuffix(f" {self.title}") + (f" ({self.unit})" if self.unit else "")


#: The axis of Gaussian noise, and of every run that was recorded before runs had an axis.
NOISE = Axis("σ", "noise level", "standard deviation of pixels in [0, 1]")
