"""The corruption errors of the recipes of a sweep over ImageNet-C, with the intervals of their means.

The errors of one image at several severities and under several corruptions go together, so the levels are no
independent samples: the images are. mCE is linear in the errors. So it is the mean over images of one number for each,

    m_i = 1/15 Σ_c 1/(5 · E_c(AlexNet)) Σ_s error_isc        error_isc: 1 if the image is wrong, else 0

and its interval is that of a mean over images: normal, by the central limit theorem. Relative mCE has weights of its
own, and the error on the clean image. Nothing is resampled, so the interval is always the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.orm import Session

from db.imagenet_c import SEVERITIES
from db.outcome import Judged
from db.recipe import DEFAULT_PERTURBATION, Recipe
from db.tables import Image, Prediction
from report.corruptions import ALEXNET, ALEXNET_CLEAN, CorruptionErrors, corruption_errors
from report.stats import Mean, mean
from report.swept import SweptRun


class Means(NamedTuple):
    """Means over the labelled images that every run predicted, 1 being AlexNet's error. A reject counts as an error."""

    #: mCE without smoothing, and of the vote.
    ns: Mean
    vote: Mean
    #: mCE of the vote minus mCE without smoothing, image by image.
    change: Mean
    #: Relative mCE of both; None where no run has the level 0.
    relative_ns: Mean | None
    relative_vote: Mean | None


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """What one recipe loses to the corruptions of ImageNet-C: without smoothing, and with the vote."""

    recipe: Recipe
    ns: CorruptionErrors
    #: A reject counts as an error.
    vote: CorruptionErrors
    #: None while one of the 15 corruptions is missing.
    means: Means | None


def corrupted(session: Session, runs: Sequence[SweptRun]) -> list[Corrupted]:
    """The corruption errors of each recipe whose complete runs have a corruption of ImageNet-C at all severities.

    Args:
        session: a reading one.
        runs: of a sweep.
    """
    recipes: dict[Recipe, list[SweptRun]] = {}
    for run in runs:
        key = run.recipe.model_copy(update={"perturbation": DEFAULT_PERTURBATION, "levels": ()})
        recipes.setdefault(key, []).append(run)
    found = []
    for same in recipes.values():
        done = [run for run in same if run.complete]
        ns, vote = _errors(done, "acc_ns"), _errors(done, "acc_maj_overall")
        if ns.corruptions:
            means = _means(session, done) if ns.complete else None
            found.append(Corrupted(recipe=same[0].recipe, ns=ns, vote=vote, means=means))
    return found


def _errors(runs: Sequence[SweptRun], name: str) -> CorruptionErrors:
    """Corruption errors by one rate of complete runs of one recipe."""
    errors: dict[str, float] = {}
    for run in runs:
        rates = [level.rate(name) for severity in SEVERITIES if (level := run.level(severity))]
        shares = [rate.value for rate in rates if rate]
        if run.recipe.perturbation in ALEXNET and len(shares) == len(SEVERITIES):
            errors[run.recipe.perturbation] = 1 - sum(shares) / len(shares)
    clean = _clean(runs)
    rate = clean and (level := clean.level(0.0)) and level.rate(name)
    return corruption_errors(errors, 1 - rate.value if rate else None)


def _clean(runs: Sequence[SweptRun]) -> SweptRun | None:
    """The run whose level 0 says how the clean images are classified; None if no run has labelled images there."""
    return next((run for run in runs if (level := run.level(0.0)) and level.labelled), None)


# -- means over images ---------------------------------------------------------------------------------------------


def _means(session: Session, runs: Sequence[SweptRun]) -> Means | None:
    """The means of complete runs of all 15 corruptions; None if no image has all predictions and a label."""
    of = {run.run_id: run.recipe.perturbation for run in runs if run.recipe.perturbation in ALEXNET}
    share = 1 / (len(ALEXNET) * len(SEVERITIES))
    weights = {run_id: share / ALEXNET[name] for run_id, name in of.items()}
    relative = {run_id: share / (ALEXNET[name] - ALEXNET_CLEAN) for run_id, name in of.items()}
    clean = _clean(runs)
    images = _image_sums(weights, relative, clean.run_id if clean else None).subquery()
    c = images.c
    numbers = [c.ns, c.vote, c.vote - c.ns, c.relative_ns, c.relative_vote]
    sums = [part for number in numbers for part in (func.sum(number), func.sum(number * number))]
    count, *found = session.execute(select(func.count(), *sums).select_from(images)).one()
    if not count:
        return None
    ns, vote, change, *both = (
        mean(total, squares, count) for total, squares in zip(found[::2], found[1::2], strict=True)
    )
    relative_ns, relative_vote = both if clean else (None, None)
    return Means(ns, vote, change, relative_ns, relative_vote) if ns and vote and change else None


def _image_sums(weights: Mapping[str, float], relative: Mapping[str, float], clean: str | None) -> Any:
    """A row for each labelled image that all runs predicted at all levels: its weighted sums of errors."""
    judged = Judged()
    wrong_ns, wrong_vote = (case((right, 0.0), else_=1.0) for right in (judged.ns == judged.label, judged.right))
    severe = and_(Prediction.run_id.in_(weights), Prediction.level.in_(map(float, SEVERITIES)))
    at_rest = and_(Prediction.run_id == clean, Prediction.level == 0.0)
    levels = len(weights) * len(SEVERITIES) + (1 if clean else 0)
    plain = _weight(weights, 0.0)
    less_clean = _weight(relative, -sum(relative.values()) * len(SEVERITIES))
    return (
        select(
            func.sum(plain * wrong_ns).label("ns"),
            func.sum(plain * wrong_vote).label("vote"),
            func.sum(less_clean * wrong_ns).label("relative_ns"),
            func.sum(less_clean * wrong_vote).label("relative_vote"),
        )
        .join_from(Prediction, Image, Image.id == Prediction.image_id)
        .where(Image.label.is_not(None), or_(severe, at_rest) if clean else severe)
        .group_by(Prediction.image_id)
        .having(func.count() == levels)
    )


def _weight(of_run: Mapping[str, float], at_rest: float) -> ColumnElement[float]:
    """The weight of an error: by its run, or the one of clean images."""
    return case(
        (Prediction.level == 0.0, at_rest), *((Prediction.run_id == run, weight) for run, weight in of_run.items())
    )
