"""The certificates at one σ: from answers, image by image, to rates, the average radius and the curve."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from report.certificate import RADII
from report.stats import Interval, Mean, Rate, mean, rate

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
    #: Where certified accuracy is reported, ascending: RADII, and the radius at which images stop early.
    radii: Sequence[float]
    #: At each of these radii; empty where no image is labelled.
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
        """Certified accuracy at one of the radii of ``certified_accuracy``."""
        return next((found.rate for found in self.certified_accuracy if found.radius == radius), None)


def level_of(
    sigma: float,
    answers: Sequence[Answer],
    interval: Interval,
    *,
    expected: int,
    failed: int = 0,
    skipped: int = 0,
    largest: float | None = None,
    radii: Sequence[float] = RADII,
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
        radii: where to report certified accuracy, ascending.
    """
    predicted = _images(answers)
    labelled = _images(answers, lambda answer: answer.labelled)
    found_radii = _falling((answer.radius, answer.images) for answer in answers if answer.right)
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
        radii=radii,
        certified_accuracy=[
            AtRadius(radius, found)
            for radius in radii
            if (found := rate(sum(images for at, images in found_radii if at >= radius), labelled, interval))
        ],
        average_certified_radius=_average(found_radii, labelled),
        radius_quantiles=_quantiles(answers, predicted),
        curve=_curve(found_radii, labelled),
        largest_radius=largest,
    )


def without_rates(level: CertifiedLevel) -> CertifiedLevel:
    """A level with its counts of images alone, for images that are no fair sample of all."""
    return replace(
        level,
        abstention_rate=None,
        acc_predict=None,
        predict_abstention_rate=None,
        certified_accuracy=[],
        average_certified_radius=None,
        radius_quantiles=[],
        curve=[],
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
