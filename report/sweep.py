"""A sweep: runs of many recipes over the same images, and which of them is best at each level."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.axis import Axis
from db.recipe import Recipe
from db.runs import find_run
from db.tables import Run
from report.corrupted import Corrupted, corrupted
from report.names import KERNEL, called, smoothing
from report.rates import LESS_IS_BETTER
from report.report import report
from report.stats import Interval, Rate
from report.swept import SweptRun


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs in the order in which they were asked for, and the rate by which they are compared, one of METRICS."""

    metric: str
    interval: Interval
    #: What the levels of all runs measure.
    axis: Axis
    #: Those of names.KERNEL that the smoother uses, which all recipes share.
    uses: Collection[str]
    runs: list[SweptRun]
    #: Corruption errors of the recipes that were measured under corruptions of ImageNet-C.
    corrupted: list[Corrupted]

    def called(self, recipe: Recipe) -> str:
        """A recipe among the others of the sweep: its model and how it smooths."""
        return called(recipe, self.uses)

    def smoothing(self, recipe: Recipe) -> tuple[str, str]:
        """How a recipe smooths, in two parts."""
        return smoothing(recipe, self.uses)

    @property
    def levels(self) -> tuple[float, ...]:
        """The levels that any run has, ascending."""
        return tuple(sorted({level for run in self.runs for level in run.recipe.levels}))

    @property
    def perturbations(self) -> list[str]:
        """What is done to the images, in the order in which it was asked for."""
        return list(dict.fromkeys(run.recipe.perturbation for run in self.runs))

    @property
    def complete(self) -> bool:
        """Whether every run is."""
        return all(run.complete for run in self.runs)

    def rate(self, run: SweptRun, value: float) -> Rate | None:
        """The rate of a run at a level."""
        level = run.level(value)
        return level.rate(self.metric) if level else None

    def best(self, value: float) -> list[SweptRun]:
        """The best runs at a level, of each perturbation."""
        return [run for perturbation in self.perturbations for run in self.best_under(perturbation, value)]

    def best_under(self, perturbation: str, value: float) -> list[SweptRun]:
        """The best run under a perturbation at a level, or several that are equal; none if fewer than two are complete.

        Only complete runs count: the images that a run has done so far may be its easy ones.
        """
        under = [run for run in self.runs if run.recipe.perturbation == perturbation and run.complete]
        found = [(run, rate.value) for run in under if (rate := self.rate(run, value))]
        if len(found) < 2:
            return []
        values = [value for _, value in found]
        best = min(values) if self.metric in LESS_IS_BETTER else max(values)
        return [run for run, value in found if value == best]


def read_sweep(
    session: Session,
    recipes: Mapping[str, Recipe],
    *,
    axis: Axis,
    metric: str,
    uses: Collection[str] = KERNEL,
    interval: Interval = "wilson",
    refused: Mapping[str, str] | None = None,
) -> Sweep:
    """What the record has of each run of a sweep.

    Args:
        session: a reading one: all is of one moment.
        recipes: by the run's id; all have one smoother.
        axis: what their levels measure.
        metric: one of METRICS.
        uses: those of names.KERNEL that the smoother uses.
        interval: how the intervals of rates are made.
        refused: why no worker could do a run, by its id.
    """
    recorded = set(session.scalars(select(Run.id).where(Run.id.in_(recipes))))
    runs = [
        SweptRun(
            run_id=run_id,
            recipe=recipe,
            report=report(session, find_run(session, run_id), interval=interval) if run_id in recorded else None,
            refused=(refused or {}).get(run_id),
        )
        for run_id, recipe in recipes.items()
    ]
    return Sweep(metric=metric, interval=interval, axis=axis, uses=uses, runs=runs, corrupted=corrupted(session, runs))
