"""Tests of paired differences that stand side by side, one a level: their p-values are adjusted for their number."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from report.stats import Paired, holm

#: A difference is shown if its adjusted p-value is below this.
ALPHA = 0.05

Verdict = Literal["better", "worse", "undecided"]


class Tested(NamedTuple):
    """A paired difference, and its p-value adjusted for the number of levels (Holm)."""

    pair: Paired
    p_holm: float

    @property
    def verdict(self) -> Verdict:
        """Whether the second is right more often than the first."""
        if self.p_holm >= ALPHA:
            return "undecided"
        return "better" if self.pair.difference > 0 else "worse"


def over_levels(pairs: Sequence[Paired | None]) -> list[Tested | None]:
    """The pairs of all levels, each with its p-value adjusted for the number of levels."""
    adjusted = iter(holm([pair.p for pair in pairs if pair]))
    return [pair and Tested(pair, next(adjusted)) for pair in pairs]
