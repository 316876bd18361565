"""Two certified runs over the same images, compared image by image: which is certified at which radius more often?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.orm import Session

from db.runs import RunInfo
from report.certificate import RADII
from report.certified import Bounds, check_choice, usual_alpha
from report.certified_pairs import Pair, pairs_of, predicted_by
from report.comparison import Compared, Difference, check_comparable, recipe_differences
from report.counts import asked
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
    #: At the radii, ascending, where one of the runs certifies any image; up to that at which images stop early.
    radii: list[ComparedAt]
    #: Shares of images without a certificate, of all images predicted by both.
    abstains: Compared | None
    averages: Averages | None


@dataclass(frozen=True, kw_only=True)
class CertifiedComparison:
    """Two certified runs and the σ that both have, ascending."""

    first: RunInfo
    second: RunInfo
    #: Of both: the probability with which each certificate may be wrong.
    alpha: float
    #: How many copies estimate; in a run whose images stop early, the most that an image may have.
    first_n: int
    second_n: int
    interval: Interval
    #: Whether no image of either run is pending at this n.
    complete: bool
    #: Whether images are pending in a run that stops early: nothing is compared until all have stopped.
    waits: bool
    levels: list[CertifiedLevelComparison]

    @property
    def n(self) -> int | None:
        """How many copies estimate in both runs; None where they differ."""
        return self.first_n if self.first_n == self.second_n else None

    @property
    def stops_at(self) -> float | None:
        """The radius at which images of a run stop early, the smaller one of two; None if none of them do."""
        return _stops_at(self.first, self.second)

    @property
    def same_noise(self) -> bool:
        """Whether the copies of an image have the same noise in both runs."""
        return self.first.recipe.seed == self.second.recipe.seed

    @property
    def differences(self) -> list[Difference]:
        """How the recipes differ, and the weights and the preprocessing, once both runs have begun."""
        return recipe_differences(self.first, self.second)


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
            early keeps its own n; n is then that of the other run, None for all that it was asked for.
        interval: the method for the intervals of rates. Those of differences of rates are Newcombe's.

    Raises:
        WrongUse: if a run has no certificates or fewer copies, or the runs have different images or classes, or no
            common σ.
    """
    for run in (first, second):
        require_certificates(run, "compare votes with votes, and certificates with certificates")
    check_comparable(session, first, second)
    alpha = usual_alpha(first, second) if alpha is None else alpha
    runs = (first, second)
    bounds = [
        check_choice(session, run, alpha, _copies(run, other, n)) for run, other in zip(runs, runs[::-1], strict=True)
    ]
    incomplete = [run for run, of in zip(runs, bounds, strict=True) if pending(session, run, of.n)]
    waits = any(run.recipe.stopping for run in incomplete)
    return CertifiedComparison(
        first=first,
        second=second,
        alpha=alpha,
        first_n=bounds[0].n,
        second_n=bounds[1].n,
        interval=interval,
        complete=not incomplete,
        waits=waits,
        levels=_levels(session, first, second, bounds, interval, waits=waits),
    )


def _copies(run: RunInfo, other: RunInfo, n: int | None) -> int | None:
    """How many copies of a run estimate when it is compared with another; None for all that it was asked for."""
    if run.recipe.stopping:
        return n if other.recipe.stopping else None
    if n is None and not other.recipe.stopping:
        return min(asked(run), asked(other))
    return n


def _stops_at(*runs: RunInfo) -> float | None:
    return min((run.recipe.stopping.radius for run in runs if run.recipe.stopping), default=None)


def _levels(
    session: Session, first: RunInfo, second: RunInfo, bounds: Sequence[Bounds], interval: Interval, *, waits: bool
) -> list[CertifiedLevelComparison]:
    sigmas = [sigma for sigma in first.recipe.levels if sigma in second.recipe.levels]
    pairs = pairs_of(session, first, second, bounds)
    in_first, in_second = (predicted_by(session, run, of.n) for run, of in zip((first, second), bounds, strict=True))
    told = {sigma: [] if waits else pairs.get(sigma, []) for sigma in sigmas}
    counts = {
        (sigma, radius): _certified_at(told[sigma], radius)
        for sigma in sigmas
        for radius in _certifying_radii(told[sigma], _stops_at(first, second))
    }
    tests = dict(zip(counts, over_levels([paired(*found) for found in counts.values()]), strict=True))
    abstentions = [_abstaining(told[sigma]) for sigma in sigmas]
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
                averages=_averages([pair for pair in told[sigma] if pair.labelled]),
            )
        )
    return levels


def _certifying_radii(pairs: Sequence[Pair], stops_at: float | None) -> list[float]:
    """The radii at which one of the runs certifies any image with its true label, up to that at which images stop.

    An image that has stopped has a smaller radius than all its copies would give it, so larger ones are not compared.
    """
    largest = max(
        (radius for pair in pairs for radius in (pair.first, pair.second) if radius is not None), default=-1.0
    )
    radii = RADII if stops_at is None else sorted({*(radius for radius in RADII if radius < stops_at), stops_at})
    return [radius for radius in radii if radius <= largest]


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
