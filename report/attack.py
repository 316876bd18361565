"""Checks of an attack: whether it is strong enough for its report to say anything about the model.

A weak attack makes any model look robust. Source of the checks: the list in section 4 of N. Carlini, A. Athalye,
N. Papernot et al., "On Evaluating Adversarial Robustness", 2019.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import Session, aliased

from db.outcome import Judged, count_of
from db.recipe import DEFAULT_PERTURBATION, Recipe
from db.runs import RunInfo, list_runs
from db.tables import Image, Prediction
from report.stats import Rate, paired, rate
from report.tested import Tested, over_levels

Attacker = Literal["model", "defence"]
#: What each attacker knows, in words.
KNOWS: dict[Attacker, str] = {"model": "knows the model only", "defence": "knows the model and the defence"}


class Contrast(NamedTuple):
    """How often the attacked answer is right at two levels, or under noise and under attack: second less first."""

    low: float
    high: float
    first: Rate
    second: Rate
    tested: Tested


@dataclass(frozen=True, kw_only=True)
class AttackChecks:
    """What the record says of an attack's strength. The answer attacked is NS, or the vote if the attacker knows it."""

    #: Each level and the next.
    steps: Sequence[Contrast]
    #: The lowest level and the highest; None if there is only one.
    ends: Contrast | None
    #: A run with Gaussian noise over the same images, and each level that both have: noise first.
    noise_run: str | None
    noise: Sequence[Contrast]


def option(recipe: Recipe, name: str) -> Any:
    """What the perturbation of a recipe is told by this name; None if nothing."""
    return dict(recipe.options or ()).get(name)


def attacker(recipe: Recipe) -> Attacker:
    """What the attacker of a recipe knows."""
    return "defence" if option(recipe, "attacker") == "defence" else "model"


def check_attack(session: Session, run: RunInfo) -> AttackChecks | None:
    """Tests an attack against itself at other levels, and against noise of the same size.

    Args:
        session: a reading one.
        run: the run.

    Returns:
        None if the run is not of an attack.
    """
    if run.axis.kind != "attack":
        return None
    levels = run.recipe.levels
    view = "maj" if attacker(run.recipe) == "defence" else "ns"
    ends = [((run.id, levels[0]), (run.id, levels[-1]))] if len(levels) > 1 else []
    noise = _noise(session, run)
    shared = [level for level in levels if level > 0 and noise and level in noise.recipe.levels]
    return AttackChecks(
        steps=_contrasts(session, view, [((run.id, low), (run.id, high)) for low, high in pairwise(levels)]),
        ends=next(iter(_contrasts(session, view, ends)), None),
        noise_run=noise.id if noise else None,
        noise=_contrasts(session, view, [((noise.id, level), (run.id, level)) for level in shared if noise]),
    )


#: The answers to all images at one level of one run, by the run's id.
Answers = tuple[str, float]


def _contrasts(session: Session, view: str, pairs: Sequence[tuple[Answers, Answers]]) -> list[Contrast]:
    """How often a view is right in the answers of each pair; without pairs that share no labelled image."""
    counts = [_counts(session, view, first, second) for first, second in pairs]
    tests = over_levels([paired(both, one - both, two - both, of - one - two + both) for of, one, two, both in counts])
    found = []
    for (first, second), (of, one, two, _), tested in zip(pairs, counts, tests, strict=True):
        before, after = rate(one, of), rate(two, of)
        if before and after and tested:
            found.append(Contrast(first[1], second[1], before, after, tested))
    return found


def _counts(session: Session, view: str, first: Answers, second: Answers) -> tuple[int, int, int, int]:
    """Labelled images that are in both sets of answers; on how many the first is right, the second, and both are."""
    one, two = aliased(Prediction), aliased(Prediction)
    in_first, in_second = _right(one, view), _right(two, view)
    counts = (
        select(func.count(), count_of(in_first), count_of(in_second), count_of(and_(in_first, in_second)))
        .join_from(one, two, one.image_id == two.image_id)
        .join(Image, Image.id == one.image_id)
        .where(one.run_id == first[0], one.level == first[1], two.run_id == second[0], two.level == second[1])
        .where(Image.label.is_not(None))
    )
    of, right_first, right_second, right_both = session.execute(counts).one()
    return of, right_first, right_second, right_both


def _right(prediction: Any, view: str) -> ColumnElement[bool]:
    judged = Judged(prediction)
    return judged.right if view == "maj" else judged.ns == judged.label


def _noise(session: Session, run: RunInfo) -> RunInfo | None:
    """The newest run with Gaussian noise, and otherwise the same recipe, over the same images.

    Only for attacks in the L∞ ball: noise of standard deviation ε is as large as they are. An attack's L2 distance is
    that of the whole image, and says nothing about one pixel.
    """
    if "L∞" not in run.axis.unit:
        return None
    runs = list_runs(session, dataset_id=run.dataset_id)
    return next((other for other in runs if _is_noise_for(run, other)), None)


def _is_noise_for(run: RunInfo, other: RunInfo) -> bool:
    if other.recipe.perturbation != DEFAULT_PERTURBATION or not {*other.recipe.levels} & {*run.recipe.levels} - {0.0}:
        return False
    same = {
        "perturbation": DEFAULT_PERTURBATION,
        "options": None,
        "levels": other.recipe.levels,
        "seed": other.recipe.seed,
    }
    return run.recipe.model_copy(update=same) == other.recipe
