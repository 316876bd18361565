"""A sweep: runs of many recipes over the same images, and which of them is best at each level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.axis import NOISE, Axis
from db.imagenet_c import SEVERITIES
from db.recipe import DEFAULT_PERTURBATION, Recipe
from db.runs import find_run
from db.tables import Run
from report.corruptions import ALEXNET, CorruptionErrors, corruption_errors
from report.report import Level, Report, report
from report.stats import Interval, Rate

#: What is best where it is least.
LESS_IS_BETTER = ("reject_rate", "attack_success")


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


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Runs in the order in which they were asked for, and the rate by which they are compared, one of RATES."""

    metric: str
    interval: Interval
    runs: list[SweptRun]

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

    @property
    def axis(self) -> Axis:
        """What the levels measure."""
        return next((run.report.run.axis for run in self.runs if run.report), NOISE)

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


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """What one recipe loses to the corruptions of ImageNet-C: without smoothing, and with the vote."""

    recipe: Recipe
    ns: CorruptionErrors
    #: A reject counts as an error.
    vote: CorruptionErrors


def corrupted(sweep: Sweep) -> list[Corrupted]:
    """The corruption errors of each recipe whose complete runs have a corruption of ImageNet-C at all severities."""
    recipes: dict[Recipe, list[SweptRun]] = {}
    for run in sweep.runs:
        key = run.recipe.model_copy(update={"perturbation": DEFAULT_PERTURBATION, "levels": ()})
        recipes.setdefault(key, []).append(run)
    found = []
    for runs in recipes.values():
        ns, vote = (_errors([run for run in runs if run.complete], rate) for rate in ("acc_ns", "acc_maj_overall"))
        if ns.corruptions:
            found.append(Corrupted(recipe=runs[0].recipe, ns=ns, vote=vote))
    return found


def _errors(runs: Sequence[SweptRun], name: str) -> CorruptionErrors:
    """Corruption errors by one rate of runs of one recipe."""
    errors: dict[str, float] = {}
    for run in runs:
        rates = [level.rate(name) for severity in SEVERITIES if (level := run.level(severity))]
        shares = [rate.value for rate in rates if rate]
        if run.recipe.perturbation in ALEXNET and len(shares) == len(SEVERITIES):
            errors[run.recipe.perturbation] = 1 - sum(shares) / len(shares)
    clean = next((rate for run in runs if (level := run.level(0.0)) and (rate := level.rate(name))), None)
    return corruption_errors(errors, None if clean is None else 1 - clean.value)


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
        runs=[
            SweptRun(
                run_id=run_id,
                recipe=recipe,
                report=report(session, find_run(session, run_id), interval=interval) if run_id in recorded else None,
                refused=(refused or {}).get(run_id),
            )
            for run_id, recipe in recipes.items()
        ],
    )
