"""What a certified run found, for any α and any n at which a part of its copies ends.

counts --(report/counts.py, by the database)--> answers --(report/certificate.py)--> radii --> rates of each level
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Engine, case, func, null, select
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.recipe import Stopping
from db.runs import RunInfo, find_run, progress
from db.session import reading
from db.stopping import stopped
from db.tables import Failure, Image
from report.certificate import ALPHA, RADII, certified_radius, check_copies, largest_radius, predicts
from report.certified_level import Answer, CertifiedLevel, level_of, without_rates
from report.counts import asked, check_end, copies_of_all, leaders, selection
from report.kind import require_certificates
from report.stats import INTERVALS, Interval, Rate


class Bounds(NamedTuple):
    """What the bound of each image is computed with."""

    #: The number of copies that estimate; the most that an image may have, if images stop early.
    n: int
    #: The probability with which a bound may be wrong: α, divided by the number of looks if images stop early.
    alpha: float
    #: The α of the report: the probability with which each certificate may be wrong.
    chosen: float


class Stopped(NamedTuple):
    """How early the images of a run stopped."""

    rule: Stopping
    #: How many copies that estimate an image needed on average, at all levels; None until all images have stopped,
    #: because those that stop first are those that are easiest to decide.
    mean_copies: float | None

    @property
    def saved(self) -> float | None:
        """The share of the n copies of an image that it did not need. Workers may have computed some of them."""
        return None if self.mean_copies is None else 1 - self.mean_copies / self.rule.n


class Best(NamedTuple):
    """The best level at a radius: σ and its certified accuracy; no σ where none certifies any image."""

    radius: float
    sigma: float | None
    rate: Rate


@dataclass(frozen=True, kw_only=True)
class Certified:
    """The certificates of a run, or of result files, level by level; σ ascends."""

    #: The run; None where the certificates are from files.
    run: RunInfo | None
    name: str
    #: The probability with which each certificate may be wrong; None where files do not say it.
    alpha: float | None
    #: How many copies select the label, and how many estimate its probability; None where files do not say it.
    n0: int | None
    n: int | None
    #: The largest n of which every image has all copies.
    n_of_all: int | None = None
    #: Of a run whose images stop early: when they do, and what that saved.
    stopped: Stopped | None = None
    #: The method for the intervals of rates.
    interval: Interval
    levels: list[CertifiedLevel]

    @property
    def labelled(self) -> bool:
        """Whether there are accuracies to report; True also while nothing is predicted."""
        return any(level.labelled for level in self.levels) or not any(level.predicted for level in self.levels)

    @property
    def complete(self) -> bool:
        """Whether no image is pending at any level, at the n of this report."""
        return not any(level.pending for level in self.levels)

    @property
    def envelope(self) -> list[Best]:
        """The highest certified accuracy at each radius, and the σ that has it: the smallest, where several do."""
        found = []
        for radius in sorted({at.radius for level in self.levels for at in level.certified_accuracy}):
            rates = [(share, level.sigma) for level in self.levels if (share := level.at(radius))]
            best, sigma = max(rates, key=lambda pair: (pair[0].value, -pair[1]))
            found.append(Best(radius, sigma if best.hits else None, best))
        return found


def certified(
    session: Session, run: RunInfo, *, alpha: float | None = None, n: int | None = None, interval: Interval = "wilson"
) -> Certified:
    """The certificates that follow from the stored counts.

    Args:
        session: a reading one: all counts are of one moment.
        run: a run of certificates.
        alpha: the probability with which each certificate may be wrong; None: as in usual_alpha().
        n: how many of the stored copies estimate; None for all that were asked for.
        interval: the method for the intervals of rates.

    Raises:
        WrongUse: if the run has no certificates or fewer copies, or if n copies can certify nothing at this α.
    """
    if interval not in INTERVALS:
        raise WrongUse(f"there is no interval {interval!r}; there are {', '.join(INTERVALS)}")
    bounds = check_choice(session, run, alpha, n)
    so_far = progress(session, run)
    found = _answers(session, run, bounds)
    rule = run.recipe.stopping
    levels = [
        level_of(
            sigma,
            found.get(sigma, []),
            interval,
            expected=so_far.expected,
            failed=so_far.failed,
            skipped=so_far.skipped,
            largest=largest_radius(bounds.n, sigma, bounds.alpha),
            radii=sorted({*RADII, rule.radius}) if rule else RADII,
        )
        for sigma in run.recipe.levels
    ]
    if rule:
        levels = [without_rates(level) if level.pending else level for level in levels]
    return Certified(
        run=run,
        name=run.name,
        alpha=bounds.chosen,
        n0=selection(run),
        n=bounds.n,
        n_of_all=copies_of_all(session, run),
        stopped=rule and Stopped(rule, None if any(level.pending for level in levels) else _needed(session, run)),
        interval=interval,
        levels=levels,
    )


def read_certified(
    engine: Engine, name: str, *, alpha: float | None = None, n: int | None = None, interval: Interval = "wilson"
) -> Certified:
    """The certificates of the run that a person names.

    Raises:
        WrongUse: if there is no such run, or for what certified() refuses.
    """
    with reading(engine) as session:
        return certified(session, find_run(session, name), alpha=alpha, n=n, interval=interval)


def usual_alpha(*runs: RunInfo) -> float:
    """The α of a report for which nobody chooses one: that for which the images of these runs stop, if there is one.

    It is ALPHA if no run stops early, or if they stop for different α.
    """
    chosen = {run.recipe.stopping.alpha for run in runs if run.recipe.stopping}
    return chosen.pop() if len(chosen) == 1 else ALPHA


def check_choice(session: Session, run: RunInfo, alpha: float | None, n: int | None) -> Bounds:
    """The n that a person means and the α of each bound, once both are found to be possible.

    The looks of a run that stops early are chosen before its copies are drawn, so that any α may be asked for later.

    Raises:
        WrongUse: if they are not, or the run has no certificates.
    """
    require_certificates(run, f"see `smoothvote report {run.id}` without --alpha and --n")
    n = asked(run) if n is None else n
    alpha = usual_alpha(run) if alpha is None else alpha
    looks = len(run.recipe.stopping.looks) if run.recipe.stopping else 1
    check_copies(n, alpha, looks=looks)
    check_end(session, run, n)
    return Bounds(n, alpha / looks, alpha)


def _needed(session: Session, run: RunInfo) -> float | None:
    """How many copies that estimate an image needed on average until it stopped; None if none has."""
    found = stopped(run.id, run.recipe).c
    failed = select(Failure.image_id).where(Failure.run_id == run.id)
    mean = session.scalar(select(func.avg(found.n)).where(found.image_id.not_in(failed)))
    return None if mean is None else float(mean)


def _answers(session: Session, run: RunInfo, bounds: Bounds) -> dict[float, list[Answer]]:
    """The answers at each level.

    The database counts images that are alike, so that few rows are read.
    """
    found = leaders(run, bounds.n)
    c, true = found.c, Image.label
    right, first_right = (
        case((true.is_(None), null()), (label == true, 1), else_=0) for label in (c.label, c.first_label)
    )
    columns = [c.level, right.label("right"), first_right.label("first_right"), c.n, c.hits, c.first, c.second]
    alike = select(*columns, func.count().label("images")).join(Image, Image.id == c.image_id).group_by(*columns)
    answers: dict[float, list[Answer]] = {}
    for row in session.execute(alike):
        radius, labelled = certified_radius(row.hits, row.n, row.level, bounds.alpha), row.right is not None
        abstains = not predicts(row.first, row.second, bounds.alpha)
        answer = Answer(
            right=bool(row.right) if labelled and radius is not None else None,
            labelled=labelled,
            radius=radius,
            predict_right=bool(row.first_right) and not abstains if labelled else None,
            predict_abstains=abstains,
            images=row.images,
        )
        answers.setdefault(row.level, []).append(answer)
    return answers
