"""Early stopping of certificates: an image gets no more copies once it is known whether it is certified at a radius.

The copies are looked at in stages, which are chosen before the first one is drawn (``db.copies.looks``). The bound at
each of the s looks is Clopper & Pearson's at α/s. By the union bound, all s bounds of an image hold together with
probability at least 1 - α, so the bound holds at whichever look the image stops, whatever rule stops it.
Source: Horváth, Müller, Fischer, Vechev, "Boosting randomized smoothing with variance reduced classifiers", ICLR 2022
(adaptive sampling).
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Select, Subquery, and_, case, cast, func, or_, select

from db.bound import lower_bound
from db.copies import looks
from db.recipe import Recipe, Stopping
from db.tables import Count


class Decided(NamedTuple):
    """When an image is decided at a look and a level, by the number of copies that have its label so far."""

    #: With so many or more it is certified at the radius; more than there are copies where that is impossible.
    certified_from: int
    #: With so many or fewer it is given up: further copies cannot certify it, or its label is surely too improbable.
    #: Negative: it never is.
    given_up_to: int


@lru_cache(maxsize=1000)
def decisions(radius: float, sigma: float, alpha: float, n: int) -> dict[int, Decided]:
    """When an image is decided at each look, by the look's number of copies.

    To give an image up makes no certificate wrong. With probability at most α it gives up one that could be certified.

    Args:
        radius: the L2 radius in question.
        sigma: the level.
        alpha: the probability with which the certificate may be wrong.
        n: number of copies that estimate, if the image never stops.
    """
    share, stages = NormalDist(sigma=sigma).cdf(radius), looks(n)

    def bound(look: int) -> Callable[[int], float]:
        return lambda hits: lower_bound(hits, look, alpha / len(stages))

    certified_from = {look: bisect_left(range(look + 1), share, key=bound(look)) for look in stages}
    found = {}
    for look, first in certified_from.items():
        # Certified in the end, if all copies that are still to come have the label.
        possible = certified_from[n] - (n - look)
        # So many copies without the label that its probability is surely below the radius's.
        misses = bisect_right(range(look + 1), 1 - share, key=bound(look))
        found[look] = Decided(first, max(possible - 1, look - misses))
    return found


def decided(run_id: str, recipe: Recipe, images: Select[Any] | None = None) -> Subquery:
    """The images of a run that are decided at a level: columns image_id, level and n, how many copies that took.

    An image is decided at a level at the first look that decides it, whatever later copies say: the bound holds at each
    look. Copies that a worker drew before it could know that do not count, so that the answer does not depend on the
    order in which workers do their jobs.

    Args:
        run_id: the run.
        recipe: its recipe, which stops.
        images: ids of the images to look at; None for all.

    Raises:
        ValueError: if the recipe does not stop.
    """
    if recipe.stopping is None:
        raise ValueError("the images of this recipe do not stop early")
    reached = _reached(run_id, recipe.selection or 0, images).c
    # A case, and not one long "or": SQLite limits how deep a condition is nested.
    conditions = _conditions(recipe.stopping, recipe.levels, reached)
    here = case(*((condition, 1) for condition in conditions), else_=0)
    first = select(reached.image_id, reached.level, cast(func.min(reached.n), Integer).label("n"))
    return first.where(here == 1).group_by(reached.image_id, reached.level).subquery("decided")


def stopped(run_id: str, recipe: Recipe, images: Select[Any] | None = None) -> Subquery:
    """The images of a run that have stopped: columns image_id and n, at how many copies that estimate.

    An image stops once it is decided at every level. The arguments and errors are those of decided().
    """
    found = decided(run_id, recipe, images).c
    last = select(found.image_id, func.max(found.n).label("n")).group_by(found.image_id)
    return last.having(func.count() == len(recipe.levels)).subquery("stopped")


def _conditions(stopping: Stopping, levels: Sequence[float], reached: Any) -> list[ColumnElement[bool]]:
    """One condition for each level and look: that an image is decided there."""
    return [
        and_(
            reached.level == level,
            reached.n == look,
            or_(reached.hits >= decided.certified_from, reached.hits <= decided.given_up_to),
        )
        for level in levels
        for look, decided in decisions(stopping.radius, level, stopping.alpha, stopping.n).items()
    ]


def _reached(run_id: str, selection: int, images: Select[Any] | None) -> Subquery:
    """One row for each image, level and n such that the first n copies that estimate are all there.

    Columns: image_id, level, n, and hits: how many of the n copies have the label that was selected.
    """
    mine = [Count.run_id == run_id, *([] if images is None else [Count.image_id.in_(images)])]
    label = _selected(mine, selection)
    parts = (
        select(
            Count.image_id,
            Count.level,
            Count.part,
            func.sum(Count.n).label("copies"),
            func.sum(case((Count.label == label.c.label, Count.n), else_=0)).label("hits"),
        )
        .join(label, and_(label.c.image_id == Count.image_id, label.c.level == Count.level))
        .where(*mine, Count.part >= selection)
        .group_by(Count.image_id, Count.level, Count.part)
        .subquery("parts")
        .c
    )

    def so_far(number: ColumnElement[int]) -> ColumnElement[int]:
        return func.sum(number).over(partition_by=(parts.image_id, parts.level), order_by=parts.part)

    sums = select(
        parts.image_id,
        parts.level,
        (parts.part - selection + parts.copies).label("end"),
        so_far(parts.copies).label("n"),
        so_far(parts.hits).label("hits"),
    ).subquery("sums")
    # Behind a gap, which a worker leaves that is ahead of another one, the copies are fewer than the part's end says.
    return (
        select(sums.c.image_id, sums.c.level, sums.c.n, sums.c.hits).where(sums.c.n == sums.c.end).subquery("reached")
    )


def _selected(mine: list[Any], selection: int) -> Subquery:
    """The label of each image and level: what most of the copies that select have, the smaller label if several do."""
    sums = (
        select(Count.image_id, Count.level, Count.label, func.sum(Count.n).label("n"))
        .where(*mine, Count.part < selection)
        .group_by(Count.image_id, Count.level, Count.label)
        .subquery("sums_of_labels")
        .c
    )
    place = (sums.image_id, sums.level)
    ranked = select(
        sums.image_id,
        sums.level,
        sums.label,
        func.row_number().over(partition_by=place, order_by=(sums.n.desc(), sums.label)).label("rank"),
        func.sum(sums.n).over(partition_by=place).label("copies"),
    ).subquery("ranked_labels")
    first = select(ranked.c.image_id, ranked.c.level, ranked.c.label)
    return first.where(ranked.c.rank == 1, ranked.c.copies == selection).subquery("selected")
