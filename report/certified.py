"""What a certified run found, for any α and any n up to what is stored: no image is computed again.

counts --(report/counts.py, by the database)--> answers --(report/certificate.py)--> radii --> rates of each level
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from sqlalchemy import Engine, case, func, null, select
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.runs import RunInfo, find_run, progress
from db.session import reading
from db.tables import Image
from report.certificate import ALPHA, RADII, certified_radius, check_copies, largest_radius, predicts
from report.counts import asked, check_end, copies_of_all, leaders, selection
from report.kind import require_certificates
from report.stats import INTERVALS, Interval, Mean, Rate, mean, rate

#: The shares of images at which quantiles of their radii are reported.
QUANTILES = (0.25, 0.5, 0.75)


class Answer(NamedTuple):
    """What was found for so many images at a level, all alike."""

    #: Whether the certified label is the true one; None for images without a label, and of an abstention.
    right: bool | None
    labelled: bool
    #: The certified radius; None is an abstention.
    radius: float | None
    #: Whether PREDICT is right, and whether it abstains; None where that is not known.
    predict_right: bool | None
    predict_abstains: bool | None
    images: int


class AtRadius(NamedTuple):
    """Certified accuracy at a radius: the share of the labelled images that are right with so large a radius."""

    radius: float
    rate: Rate


class Best(NamedTuple):
    """The best level at a radius: σ and its certified accuracy; no σ where none certifies any image."""

    radius: float
    sigma: float | None
    rate: Rate


@dataclass(frozen=True, kw_only=True)
class CertifiedLevel:
    """The certificates at one σ. expected = predicted + failed + skipped + pending, always."""

    sigma: float
    expected: int
    #: Images with all copies, up to the n of the report.
    predicted: int
    failed: int
    skipped: int
    pending: int
    #: Predicted images whose true class is known: the denominator of the accuracies.
    labelled: int

    #: Share of the predicted images for which CERTIFY abstains.
    abstention_rate: Rate | None
    #: Share of the labelled images for which PREDICT is right; abstaining is wrong.
    acc_predict: Rate | None
    #: Share of the predicted images for which PREDICT abstains.
    predict_abstention_rate: Rate | None
    #: At each of RADII, ascending; empty where no image is labelled.
    certified_accuracy: list[AtRadius]
    #: Mean radius over the labelled images; that of a wrong label or an abstention is 0.
    average_certified_radius: Mean | None
    #: The radii of the predicted images at QUANTILES of them, right or not; that of an abstention is 0.
    radius_quantiles: list[float]
    #: (radius, share of the labelled images that are right with so large a radius), wherever the share falls.
    curve: list[tuple[float, float]]
    #: The radius of an image all of whose copies have one label; None where that is not known.
    largest_radius: float | None

    def at(self, radius: float) -> Rate | None:
        """Certified accuracy at one of RADII."""
        return next((found.rate for found in self.certified_accuracy if found.radius == radius), None)


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
        for radius in RADII:
            rates = [(share, level.sigma) for level in self.levels if (share := level.at(radius))]
            if rates:
                best, sigma = max(rates, key=lambda pair: (pair[0].value, -pair[1]))
                found.append(Best(radius, sigma if best.hits else None, best))
        return found


def certified(
    session: Session, run: RunInfo, *, alpha: float = ALPHA, n: int | None = None, interval: Interval = "wilson"
) -> Certified:
    """The certificates that follow from the stored counts.

    Args:
        session: a reading one: all counts are of one moment.
        run: a run of certificates.
        alpha: the probability with which each certificate may be wrong.
        n: how many of the stored copies estimate; None for all that were asked for.
        interval: the method for the intervals of rates.

    Raises:
        WrongUse: if the run has no certificates or fewer copies, or if n copies can certify nothing at this α.
    """
    if interval not in INTERVALS:
        raise WrongUse(f"there is no interval {interval!r}; there are {', '.join(INTERVALS)}")
    n = check_choice(session, run, alpha, n)
    so_far = progress(session, run)
    found = _answers(session, run, alpha, n)
    return Certified(
        run=run,
        name=run.name,
        alpha=alpha,
        n0=selection(run),
        n=n,
        n_of_all=copies_of_all(session, run),
        interval=interval,
        levels=[
            level_of(
                sigma,
                found.get(sigma, []),
                interval,
                expected=so_far.expected,
                failed=so_far.failed,
                skipped=so_far.skipped,
                largest=largest_radius(n, sigma, alpha),
            )
            for sigma in run.recipe.levels
        ],
    )


def read_certified(
    engine: Engine, name: str, *, alpha: float = ALPHA, n: int | None = None, interval: Interval = "wilson"
) -> Certified:
    """The certificates of the run that a person names.

    Raises:
        WrongUse: if there is no such run, or for what certified() refuses.
    """
    with reading(engine) as session:
        return certified(session, find_run(session, name), alpha=alpha, n=n, interval=interval)


def check_choice(session: Session, run: RunInfo, alpha: float, n: int | None) -> int:
    """The n that a person means, once it and α are found to be possible.

    Raises:
        WrongUse: if they are not, or the run has no certificates.
    """
    require_certificates(run, f"see `smoothvote report {run.id}` without --alpha and --n")
    n = asked(run) if n is None else n
    check_copies(n, alpha)
    check_end(session, run, n)
    return n


def _answers(session: Session, run: RunInfo, alpha: float, n: int) -> dict[float, list[Answer]]:
    """The answers at each level. The database counts images that are alike, so that few rows are read."""
    found = leaders(run, n)
    c, true = found.c, Image.label
    right, first_right = (
        case((true.is_(None), null()), (label == true, 1), else_=0) for label in (c.label, c.first_label)
    )
    columns = [c.level, right.label("right"), first_right.label("first_right"), c.hits, c.first, c.second]
    alike = select(*columns, func.count().label("images")).join(Image, Image.id == c.image_id).group_by(*columns)
    answers: dict[float, list[Answer]] = {}
    for row in session.execute(alike):
        radius, labelled = certified_radius(row.hits, n, row.level, alpha), row.right is not None
        abstains = not predicts(row.first, row.second, alpha)
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


def level_of(
    sigma: float,
    answers: Sequence[Answer],
    interval: Interval,
    *,
    expected: int,
    failed: int = 0,
    skipped: int = 0,
    largest: float | None = None,
) -> CertifiedLevel:
    """The rates of one level.

    Args:
        sigma: the level.
        answers: what was found.
        interval: the method for the intervals of rates.
        expected: number of images that there are in all.
        failed: images that could not be used.
        skipped: images that the recipe leaves out.
        largest: the radius of an image all of whose copies have one label.
    """
    predicted = _images(answers)
    labelled = _images(answers, lambda answer: answer.labelled)
    radii = _falling((answer.radius, answer.images) for answer in answers if answer.right)
    told = any(answer.predict_abstains is not None for answer in answers)
    return CertifiedLevel(
        sigma=sigma,
        expected=expected,
        predicted=predicted,
        failed=failed,
        skipped=skipped,
        pending=expected - predicted - failed - skipped,
        labelled=labelled,
        abstention_rate=rate(_images(answers, lambda answer: answer.radius is None), predicted, interval),
        acc_predict=rate(_images(answers, lambda answer: answer.predict_right), labelled, interval) if told else None,
        predict_abstention_rate=(
            rate(_images(answers, lambda answer: answer.predict_abstains), predicted, interval) if told else None
        ),
        certified_accuracy=[
            AtRadius(radius, found)
            for radius in RADII
            if (found := rate(sum(images for at, images in radii if at >= radius), labelled, interval))
        ],
        average_certified_radius=_average(radii, labelled),
        radius_quantiles=_quantiles(answers, predicted),
        curve=_curve(radii, labelled),
        largest_radius=largest,
    )


def _images(answers: Iterable[Answer], which: Callable[[Answer], bool | None] = lambda answer: True) -> int:
    return sum(answer.images for answer in answers if which(answer))


def _falling(found: Iterable[tuple[float | None, int]]) -> list[tuple[float, int]]:
    """Each radius with the number of images that have it, the largest first."""
    known = sorted(((radius, images) for radius, images in found if radius is not None), reverse=True)
    return [(radius, sum(images for _, images in alike)) for radius, alike in groupby(known, lambda pair: pair[0])]


def _average(radii: Sequence[tuple[float, int]], labelled: int) -> Mean | None:
    total = sum(radius * images for radius, images in radii)
    squares = sum(radius * radius * images for radius, images in radii)
    found = mean(total, squares, labelled)
    return found and found._replace(low=max(0.0, found.low))


def _quantiles(answers: Sequence[Answer], predicted: int) -> list[float]:
    """The smallest radius that so large a share of the images does not exceed, for each of QUANTILES."""
    if not predicted:
        return []
    ascending = sorted((answer.radius or 0.0, answer.images) for answer in answers)
    found = []
    for share in QUANTILES:
        below = 0
        for radius, images in ascending:
            below += images
            if below >= share * predicted:
                found.append(radius)
                break
    return found


def _curve(radii: Sequence[tuple[float, int]], labelled: int) -> list[tuple[float, float]]:
    points, right = [], 0
    for radius, images in radii:
        right += images
        points.append((radius, right / labelled))
    return points[::-1]
