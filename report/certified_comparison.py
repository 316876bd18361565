"""Two certified runs over the same images, compared image by image: which is certified at which radius more often?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from db.runs import RunInfo
from db.tables import Image
from report.certificate import RADII, certified_radius
from report.certified import Bounds, check_choice, usual_alpha
from report.comparison import Compared, Difference, check_comparable, recipe_differences
from report.counts import asked, leaders
from report.kind import require_certificates
from report.pending import pending
from report.stats import Interval, Mean, mean, paired, rate
from report.tested import Tested, over_levels


class ComparedAt(NamedTuple):
    """Certified accuracy of both runs at a radius, and the test of their difference."""

    radius: float
    compared: Compared


class Averages(NamedTuple):
    """The average certified radii of both runs over the same images, and how much larger the second is."""

    first: Mean
    second: Mean
    difference: Mean


@dataclass(frozen=True, kw_only=True)
class CertifiedLevelComparison:
    """One σ that both runs have."""

    sigma: float
    #: Images predicted by both runs, and by one of them only.
    both: int
    only_first: int
    only_second: int
    #: Labelled images predicted by both: what the accuracies are compared over.
    labelled: int
    #: At the radii, ascending, where one of the runs certifies any image.
    radii: list[ComparedAt]
    #: Shares of images without a certificate, of all images predicted by both.
    abstains: Compared | None
    averages: Averages | None


@dataclass(frozen=True, kw_only=True)
class CertifiedComparison:
    """Two certified runs and the σ that both have, ascending."""

    first: RunInfo
    second: RunInfo
    #: Of both: the probability with which each certificate may be wrong, and how many copies estimate; in a run whose
    #: images stop early, the most that an image may have.
    alpha: float
    n: int
    interval: Interval
    #: Whether no image of either run is pending at this n.
    complete: bool
    levels: list[CertifiedLevelComparison]

    @property
    def same_noise(self) -> bool:
        """Whether the copies of an image have the same noise in both runs."""
        return self.first.recipe.seed == self.second.recipe.seed

    @property
    def differences(self) -> list[Difference]:
        """How the recipes differ, and the weights and the preprocessing, once both runs have begun."""
        return recipe_differences(self.first, self.second)


class Pair(NamedTuple):
    """What both runs found for so many images at a level, all alike."""

    labelled: bool
    #: The certified radius where the label is the true one; None if it is not, or the run abstains.
    first: float | None
    second: float | None
    first_abstains: bool
    second_abstains: bool
    images: int


def compare_certified(
    session: Session,
    first: RunInfo,
    second: RunInfo,
    *,
    alpha: float | None = None,
    n: int | None = None,
    interval: Interval = "wilson",
) -> CertifiedComparison:
    """Compares the certificates of two runs over the images that both predicted, at the same α and n.

    Args:
        session: a reading one: all counts are of one moment.
        first: one run.
        second: the other; differences are second less first.
        alpha: the probability with which each certificate may be wrong; None: as in usual_alpha().
        n: how many copies estimate; None for the smaller of what the two runs were asked for. A run whose images stop
            early has its own n alone.
        interval: the method for the intervals of rates. Those of differences of rates are Newcombe's.

    Raises:
        WrongUse: if a run has no certificates or fewer copies, or the runs have different images or classes, or no
            common σ.
    """
    for run in (first, second):
        require_certificates(run, "compare votes with votes, and certificates with certificates")
    check_comparable(session, first, second)
    alpha = usual_alpha(first, second) if alpha is None else alpha
    n = min(asked(first), asked(second)) if n is None else n
    bounds = [check_choice(session, run, alpha, n) for run in (first, second)]
    return CertifiedComparison(
        first=first,
        second=second,
        alpha=alpha,
        n=n,
        interval=interval,
        complete=not any(pending(session, run, of.n) for run, of in zip((first, second), bounds, strict=True)),
        levels=_levels(session, first, second, bounds, interval),
    )


def _levels(
    session: Session, first: RunInfo, second: RunInfo, bounds: Sequence[Bounds], interval: Interval
) -> list[CertifiedLevelComparison]:
    sigmas = [sigma for sigma in first.recipe.levels if sigma in second.recipe.levels]
    pairs = _pairs(session, first, second, bounds)
    in_first, in_second = (_predicted(session, run, of.n) for run, of in zip((first, second), bounds, strict=True))
    counts = {
        (sigma, radius): _certified_at(pairs[sigma], radius)
        for sigma in sigmas
        for radius in _certifying_radii(pairs.get(sigma, []))
    }
    tests = dict(zip(counts, over_levels([paired(*found) for found in counts.values()]), strict=True))
    abstentions = [_abstaining(pairs.get(sigma, [])) for sigma in sigmas]
    abstains = over_levels([paired(*found) for found in abstentions])
    levels = []
    for number, sigma in enumerate(sigmas):
        found = pairs.get(sigma, [])
        both = sum(pair.images for pair in found)
        at = [
            ComparedAt(radius, compared)
            for (where, radius), tested in tests.items()
            if where == sigma and (compared := _compared(counts[where, radius], tested, interval))
        ]
        levels.append(
            CertifiedLevelComparison(
                sigma=sigma,
                both=both,
                only_first=in_first.get(sigma, 0) - both,
                only_second=in_second.get(sigma, 0) - both,
                labelled=sum(pair.images for pair in found if pair.labelled),
                radii=at,
                abstains=_compared(abstentions[number], abstains[number], interval),
                averages=_averages([pair for pair in found if pair.labelled]),
            )
        )
    return levels


def _pairs(session: Session, first: RunInfo, second: RunInfo, bounds: Sequence[Bounds]) -> dict[float, list[Pair]]:
    """What both runs found at each level. The database counts images that are alike, so that few rows are read."""
    one, two = leaders(first, bounds[0].n).alias("one"), leaders(second, bounds[1].n).alias("two")
    true = Image.label
    columns = [
        one.c.level,
        true.is_not(None).label("labelled"),
        one.c.n.label("first_n"),
        two.c.n.label("second_n"),
        one.c.hits.label("first_hits"),
        two.c.hits.label("second_hits"),
        (one.c.label == true).label("first_right"),
        (two.c.label == true).label("second_right"),
    ]
    alike = (
        select(*columns, func.count().label("images"))
        .join_from(one, two, and_(one.c.image_id == two.c.image_id, one.c.level == two.c.level))
        .join(Image, Image.id == one.c.image_id)
        .group_by(*columns)
    )
    pairs: dict[float, list[Pair]] = {}
    for row in session.execute(alike):
        counted = ((row.first_hits, row.first_n), (row.second_hits, row.second_n))
        radii = [certified_radius(hits, n, row.level, of.alpha) for (hits, n), of in zip(counted, bounds, strict=True)]
        pair = Pair(
            labelled=bool(row.labelled),
            first=radii[0] if row.first_right else None,
            second=radii[1] if row.second_right else None,
            first_abstains=radii[0] is None,
            second_abstains=radii[1] is None,
            images=row.images,
        )
        pairs.setdefault(row.level, []).append(pair)
    return pairs


def _predicted(session: Session, run: RunInfo, n: int) -> dict[float, int]:
    found = leaders(run, n)
    counts = select(found.c.level, func.count().label("images")).group_by(found.c.level)
    return {row.level: row.images for row in session.execute(counts)}


def _certifying_radii(pairs: Sequence[Pair]) -> list[float]:
    """The radii at which one of the runs certifies any image with its true label."""
    largest = max(
        (radius for pair in pairs for radius in (pair.first, pair.second) if radius is not None), default=-1.0
    )
    return [radius for radius in RADII if radius <= largest]


class Counts(NamedTuple):
    """In how many images a condition holds in both runs, in one of them only, and in neither."""

    both: int
    only_first: int
    only_second: int
    neither: int


def _certified_at(pairs: Sequence[Pair], radius: float) -> Counts:
    """In how many labelled images each run certifies the true label at this radius."""
    labelled = [pair for pair in pairs if pair.labelled]
    return _counts(labelled, lambda pair: _reaches(pair.first, radius), lambda pair: _reaches(pair.second, radius))


def _reaches(found: float | None, radius: float) -> bool:
    return found is not None and found >= radius


def _abstaining(pairs: Sequence[Pair]) -> Counts:
    """For how many images each run abstains."""
    return _counts(pairs, lambda pair: pair.first_abstains, lambda pair: pair.second_abstains)


def _counts(pairs: Sequence[Pair], first: Callable[[Pair], bool], second: Callable[[Pair], bool]) -> Counts:
    images: dict[tuple[bool, bool], int] = {}
    for pair in pairs:
        holds = first(pair), second(pair)
        images[holds] = images.get(holds, 0) + pair.images
    return Counts(*(images.get(holds, 0) for holds in ((True, True), (True, False), (False, True), (False, False))))


def _compared(counts: Counts, tested: Tested | None, interval: Interval) -> Compared | None:
    """The shares of both runs beside the test of their difference; None if there are no images."""
    first, second = (
        rate(counts.both + only, sum(counts), interval) for only in (counts.only_first, counts.only_second)
    )
    return Compared(first=first, second=second, tested=tested) if first and second and tested else None


def _averages(pairs: Sequence[Pair]) -> Averages | None:
    """The average radii, a wrong label or an abstention counting as 0, and their difference image by image."""
    images = [pair.images for pair in pairs]
    radii = [(pair.first or 0.0, pair.second or 0.0) for pair in pairs]
    first = _mean([one for one, _ in radii], images)
    second = _mean([two for _, two in radii], images)
    difference = _mean([two - one for one, two in radii], images)
    return Averages(first, second, difference) if first and second and difference else None


def _mean(values: Sequence[float], images: Sequence[int]) -> Mean | None:
    """The mean over images, each value being that of so many."""
    weighted = list(zip(values, images, strict=True))
    total = sum(value * count for value, count in weighted)
    return mean(total, sum(value * value * count for value, count in weighted), sum(images))
