"""One run of a sweep, as the record has it."""

from dataclasses import dataclass

from db.recipe import Recipe
from report.report import Level, Report


@dataclass(frozen=True, kw_only=True)
class SweptRun:
    """One recipe of a sweep, and what its run found."""

    run_id: str
    recipe: Recipe
    #: None where no run is recorded.
    report: Report | None
    #: Why no worker could do it; None where none refused.
    refused: str | None

    @property
    def complete(self) -> bool:
        """Whether every image of its run is done."""
        return self.report is not None and self.report.complete

    def level(self, value: float) -> Level | None:
        """What was found at a level."""
        return next((level for level in self.report.levels if level.value == value), None) if self.report else None
