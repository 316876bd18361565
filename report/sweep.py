"""A sweep of runs over the same images, and which of them is best at each noise level: models × kernels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.recipe import Recipe
from db.runs import find_run
from db.tables import Run
from report.data import rate_json
from report.report import Level, Report, report
from report.stats import Interval, Rate

#: What is best where it is least.
LESS_IS_BETTER = ("reject_rate",)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One recipe of the sweep, and what its run found."""

    run_id: str
    recipe: Recipe
    #: None where no run is recorded.
    report: Report | None
    #: Why no worker could do it, where that is so.
    refused: str | None

    @property
    def complete(self) -> bool:
        """Whether every image of its run is done."""
        return self.report is not None and self.report.complete

    def level(self, value: float) -> Level | None:
        """What was found at a level."""
        return next((level for level in self.report.levels if level.value == value), None) if self.report else None


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Cells in the order in which they were asked for, and the rate by which they are told apart, one of RATES."""

    metric: str
    interval: Interval
    cells: list[Cell]

    @property
    def levels(self) -> tuple[float, ...]:
        """The noise levels, which all cells share."""
        return self.cells[0].recipe.levels

    @property
    def complete(self) -> bool:
        """Whether every cell is."""
        return all(cell.complete for cell in self.cells)

    def rate(self, cell: Cell, value: float) -> Rate | None:
        """The rate of a cell at a level."""
        level = cell.level(value)
        return level.rate(self.metric) if level else None

    def best(self, value: float) -> list[Cell]:
        """The best cell at a level, or several that are equal; none where there is no choice.

        Only complete cells are asked: half a run's images may be its easy ones.
        """
        found = [(cell, rate.value) for cell in self.cells if cell.complete and (rate := self.rate(cell, value))]
        if len(found) < 2:
            return []
        values = [value for _, value in found]
        best = min(values) if self.metric in LESS_IS_BETTER else max(values)
        return [cell for cell, value in found if value == best]


def read_sweep(
    session: Session,
    recipes: Mapping[str, Recipe],
    *,
    metric: str,
    interval: Interval = "wilson",
    refused: Mapping[str, str] | None = None,
) -> Sweep:
    """What the record has of each run of a sweep.

    Args:
        session: a reading one: all is of one moment.
        recipes: by the run's id.
        metric: one of RATES.
        interval: how the intervals of rates are made.
        refused: why no worker could do a run, by its id.
    """
    recorded = set(session.scalars(select(Run.id).where(Run.id.in_(recipes))))
    return Sweep(
        metric=metric,
        interval=interval,
        cells=[
            Cell(
                run_id=run_id,
                recipe=recipe,
                report=report(session, find_run(session, run_id), interval=interval) if run_id in recorded else None,
                refused=(refused or {}).get(run_id),
            )
            for run_id, recipe in recipes.items()
        ],
    )


def to_json(sweep: Sweep) -> dict[str, Any]:
    """The sweep as plain data: ``{"metric": …, "complete": …, "runs": [{…, "levels": […]}]}``."""
    return {
        "metric": sweep.metric,
        "interval": sweep.interval,
        "complete": sweep.complete,
        "runs": [_cell_json(sweep, cell) for cell in sweep.cells],
    }


def _cell_json(sweep: Sweep, cell: Cell) -> dict[str, Any]:
    return {
        "id": cell.run_id,
        "name": cell.report and cell.report.run.name,
        "model": cell.recipe.model,
        "kernel_size": cell.recipe.kernel_size,
        "kernel_sigma": cell.recipe.kernel_sigma,
        "complete": cell.complete,
        "refused": cell.refused,
        "levels": [
            cell.recipe.level_fields(value)
            | {"predicted": level.predicted, "pending": level.pending}
            | rate_json(sweep.metric, sweep.rate(cell, value))
            | {"best": cell in sweep.best(value)}
            for value in sweep.levels
            if (level := cell.level(value))
        ],
    }
