"""A run's report, from the counts of its rows: for each level the accuracies, the reject rate, and tests of the vote.

The vote is tested twice, each time on pairs of answers to the same images: against the unsmoothed view (NS), and
against confidence thresholding, which accepts as many images: those where NS has the highest softmax probability.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.runs import Progress, RunInfo, find_run, progress
from db.session import reading
from db.summaries import summarise, tallies
from db.tally import Tally
from report.attack import AttackChecks, check_attack
from report.kind import require_votes
from report.stats import INTERVALS, Interval, Paired, Rate, paired, rate
from report.tested import Tested, Verdict, over_levels

#: What is compared with the unsmoothed view.
OTHERS = ("ss", "ds", "maj")

Point = Literal["unanimous", "majority", "always"]


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A rule of when to accept: if all three views agree, if two do, or always (NS decides where none agree)."""

    name: Point
    #: Share accepted of the labelled images; of the predicted ones, if none is labelled.
    coverage: Rate | None
    #: Selective accuracy: share that is right of the labelled images that are accepted.
    accuracy: Rate | None
    #: Selective accuracy of confidence thresholding at the same coverage.
    thresholding: Rate | None
    #: Share of the labelled images that are accepted and right: confidence thresholding first, the vote second.
    against_thresholding: Tested | None


@dataclass(frozen=True, kw_only=True)
class Level:
    """What was found at one level. expected = predicted + failed + skipped + pending, always."""

    value: float
    expected: int
    predicted: int
    failed: int
    skipped: int
    pending: int
    #: Predicted images whose true class is known: the denominator of the accuracies.
    labelled: int

    #: Share of the labelled images where this view is right: NS, SS, DS.
    acc_ns: Rate | None
    acc_ss: Rate | None
    acc_ds: Rate | None
    #: Selective accuracy: share that is right of the labelled images that the vote accepts.
    acc_maj: Rate | None
    #: Share of all labelled images where the vote is right; a reject counts as wrong.
    acc_maj_overall: Rate | None
    #: Share of the predicted images that the vote rejects, and that it accepts.
    reject_rate: Rate | None
    coverage: Rate | None
    #: Share of the predicted images where all views agree; where SS agrees with NS; where DS does.
    unanimous_rate: Rate | None
    agree_ss: Rate | None
    agree_ds: Rate | None
    #: Share of the labelled images that the vote accepts and gets wrong; that confidence thresholding does, where it
    #: accepts as many.
    attack_success: Rate | None
    attack_success_thresholding: Rate | None

    #: Images where NS is wrong and the vote right; where NS is right and the vote wrong or rejecting.
    saved: int | None
    lost: int | None
    #: NS first; second SS, DS, or the vote, where a reject counts as wrong.
    against_ns: dict[str, Tested | None]
    operating_points: list[OperatingPoint]
    #: (coverage, risk) as the threshold falls: on the softmax probability of NS; on the votes for the label. Risk is
    #: the share of the accepted images that is wrong.
    curve_confidence: list[tuple[float, float]]
    curve_vote: list[tuple[float, float]]

    def rate(self, name: str) -> Rate | None:
        """The rate of this name, one of RATES, SUCCESS_RATES or ``thresholding``."""
        found: Rate | None = getattr(self, name)
        return found

    def point(self, name: Point) -> OperatingPoint:
        """The operating point of this name."""
        return next(point for point in self.operating_points if point.name == name)

    @property
    def thresholding(self) -> Rate | None:
        """Selective accuracy of confidence thresholding at the coverage of the vote."""
        return self.point("majority").thresholding

    @property
    def verdict(self) -> Verdict | None:
        """Whether the vote is better than confidence thresholding at its coverage; None where nothing is labelled."""
        tested = self.point("majority").against_thresholding
        return tested and tested.verdict


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run and its levels, ascending."""

    run: RunInfo
    #: The method for the intervals of rates. Those of differences are Newcombe's.
    interval: Interval
    levels: list[Level]
    #: Whether the attack is strong enough; None for other perturbations.
    attack: AttackChecks | None = None

    @property
    def labelled(self) -> bool:
        """Whether there are accuracies to report; True also while nothing is predicted."""
        return any(level.labelled for level in self.levels) or not any(level.predicted for level in self.levels)

    @property
    def complete(self) -> bool:
        """Whether no image is pending at any level."""
        return not any(level.pending for level in self.levels)


def report(session: Session, run: RunInfo, *, interval: Interval = "wilson", stored: bool = True) -> Report:
    """What a run found so far.

    Args:
        session: a reading one: all counts are of one moment.
        run: the run.
        interval: the method for the intervals of rates.
        stored: whether the stored counts of a complete run may be used.

    Raises:
        WrongUse: if there is no such interval, or the run has certificates instead of votes.
    """
    if interval not in INTERVALS:
        raise WrongUse(f"there is no interval {interval!r}; there are {', '.join(INTERVALS)}")
    require_votes(run, f"read it with `smoothvote report {run.id}` or smoothvote.certified()")
    # A failed image has no prediction at any level: it is counted once for each.
    so_far = progress(session, run)
    found = tallies(session, run, stored=stored)
    counts = [(value, found.get(value, Tally())) for value in run.recipe.levels]
    tallied = [tally for _, tally in counts]
    tests = {view: over_levels([_against_ns(tally, view) for tally in tallied]) for view in OTHERS}
    thresholdings = {
        point: over_levels([_against_thresholding(tally, point) for tally in tallied]) for point in get_args(Point)
    }
    return Report(
        run=run,
        interval=interval,
        levels=[
            _level(
                value,
                so_far,
                tally,
                lambda hits, of: rate(hits, of, interval),
                {view: tested[number] for view, tested in tests.items()},
                {point: tested[number] for point, tested in thresholdings.items()},
            )
            for number, (value, tally) in enumerate(counts)
        ],
        attack=check_attack(session, run),
    )


def read_report(engine: Engine, name: str, *, interval: Interval = "wilson") -> Report:
    """The report of the run that a person names. Stores the counts of a complete run, if they are not stored yet.

    Raises:
        WrongUse: if there is no such run, or interval.
    """
    with reading(engine) as session:
        run = find_run(session, name)
    summarise(engine, run)
    with reading(engine) as session:
        return report(session, find_run(session, run.id), interval=interval)


def _level(
    value: float,
    so_far: Progress,
    tally: Tally,
    rate: Callable[[int, int], Rate | None],
    against_ns: dict[str, Tested | None],
    against_thresholding: dict[Point, Tested | None],
) -> Level:
    t = tally
    return Level(
        value=value,
        expected=so_far.expected,
        predicted=t.predicted,
        failed=so_far.failed,
        skipped=so_far.skipped,
        pending=so_far.expected - t.predicted - so_far.failed - so_far.skipped,
        labelled=t.labelled,
        acc_ns=rate(t.right_ns, t.labelled),
        acc_ss=rate(t.right_ss, t.labelled),
        acc_ds=rate(t.right_ds, t.labelled),
        acc_maj=rate(t.right_maj, t.accepted_labelled),
        acc_maj_overall=rate(t.right_maj, t.labelled),
        reject_rate=rate(t.predicted - t.accepted, t.predicted),
        coverage=rate(t.accepted, t.predicted),
        unanimous_rate=rate(t.unanimous, t.predicted),
        agree_ss=rate(t.agree_ss, t.predicted),
        agree_ds=rate(t.agree_ds, t.predicted),
        attack_success=rate(t.accepted_labelled - t.right_maj, t.labelled),
        attack_success_thresholding=rate(t.accepted_labelled - t.thresholding_majority.right, t.labelled),
        saved=t.right_maj - t.both_maj if t.labelled else None,
        lost=t.right_ns - t.both_maj if t.labelled else None,
        against_ns=against_ns,
        operating_points=[_point(tally, name, rate, tested) for name, tested in against_thresholding.items()],
        curve_confidence=_risks(t.curve_confidence, t.labelled),
        curve_vote=_risks(t.curve_vote, t.labelled),
    )


class Accepted(NamedTuple):
    """Images that are accepted at an operating point."""

    labelled: int
    #: Labelled images that are right: at this point; of as many that thresholding accepts; in both.
    right: int
    thresholding: int
    both: int
    #: Labelled or not.
    all: int


def _accepted(t: Tally, point: Point) -> Accepted:
    if point == "unanimous":
        return Accepted(t.unanimous_labelled, t.right_unanimous, *t.thresholding_unanimous, t.unanimous)
    if point == "majority":
        return Accepted(t.accepted_labelled, t.right_maj, *t.thresholding_majority, t.accepted)
    return Accepted(t.labelled, t.right_maj + t.right_fallback, t.right_ns, t.both_maj + t.right_fallback, t.predicted)


def _point(t: Tally, name: Point, rate: Callable[[int, int], Rate | None], tested: Tested | None) -> OperatingPoint:
    accepted = _accepted(t, name)
    return OperatingPoint(
        name=name,
        coverage=rate(accepted.labelled, t.labelled) or rate(accepted.all, t.predicted),
        accuracy=rate(accepted.right, accepted.labelled),
        thresholding=rate(accepted.thresholding, accepted.labelled),
        against_thresholding=tested,
    )


def _against_ns(t: Tally, view: str) -> Paired | None:
    return _pairs(t.labelled, t.right_ns, getattr(t, f"right_{view}"), getattr(t, f"both_{view}"))


def _against_thresholding(t: Tally, point: Point) -> Paired | None:
    accepted = _accepted(t, point)
    return _pairs(t.labelled, accepted.thresholding, accepted.right, accepted.both)


def _pairs(of: int, first: int, second: int, both: int) -> Paired | None:
    return paired(both, first - both, second - both, of - first - second + both)


def _risks(curve: Sequence[tuple[int, int]], labelled: int) -> list[tuple[float, float]]:
    return [(accepted / labelled, 1 - right / accepted) for accepted, right in curve]
