"""Agreement: whether rows of a run that are computed again, on this machine, are those that are stored."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from db.copies import Part
from db.found import Counted, Failed, Found, Predicted
from db.recipe import VIEWS
from db.runs import RunInfo
from report.origin import Origin
from report.sample import Stored
from report.stats import Interval, Rate, rate

#: What is compared of a vote, at each level: the label of each view, and the vote.
VOTED = (*VIEWS, "vote")
#: What is compared of a certificate, at each level: how many copies of a part have which label.
COUNTED = ("counts",)


class Answer(NamedTuple):
    """The label of a view, with its confidence; or the vote, which has no confidence, and no label if it rejects."""

    label: int | None
    confidence: float | None = None


#: Of copies: how many have which label.
Counts = Mapping[int, int]


class Relabelled(NamedTuple):
    """A view or a vote that is stored with one label, and is found with another."""

    path: str
    level: float
    #: One of VOTED.
    what: str
    stored: Answer
    here: Answer


class Recounted(NamedTuple):
    """A part of an image's copies whose labels are stored with one count, and are found with another."""

    path: str
    level: float
    part: Part
    stored: Counts
    here: Counts


Difference = Relabelled | Recounted


@dataclass(frozen=True, kw_only=True)
class LevelAgreement:
    """The agreement at one level."""

    value: float
    #: The share of images that agree, for each of VOTED or COUNTED; None if none was compared.
    rates: Mapping[str, Rate | None]
    #: The largest difference of a view's confidence; of a certificate, of the share of a part's copies with a label.
    largest: float


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """What a sample of a run says about all of its rows."""

    run: RunInfo
    seed: int
    #: Number of images in the sample.
    drawn: int
    #: The share of the compared images of which everything agrees; None if none could be compared.
    images: Rate | None
    levels: Sequence[LevelAgreement]
    #: In the order of the images, then of the levels.
    differences: Sequence[Difference]
    #: Images that cannot be computed here, with the reason: path, code, message. They are not compared.
    left_out: Sequence[tuple[str, str, str]]
    origin: Origin
    interval: Interval


def compare_again(
    run: RunInfo, sample: Sequence[Stored], found: Found, origin: Origin, *, seed: int, interval: Interval = "wilson"
) -> Agreement:
    """Compares what is stored of a sample with what was found for it here.

    Args:
        run: the run.
        sample: of its images.
        found: the results for all of them.
        origin: what computed both.
        seed: that the sample was drawn with.
        interval: how the intervals of the rates are made.
    """
    failed = {failure.image_id: failure for failure in found.failed}
    compared = [image for image in sample if image.image_id not in failed]
    here = _by_image([*found.predicted, *found.counted])
    compare = _compared_counts if run.recipe.certifies else _compared_votes
    by_image = [list(compare(image, here.get(image.image_id, []))) for image in compared]
    everything = [one for of_image in by_image for one in of_image]
    alike = sum(not any(one.difference for one in of_image) for of_image in by_image)
    return Agreement(
        run=run,
        seed=seed,
        drawn=len(sample),
        images=rate(alike, len(compared), interval),
        levels=[_level(value, everything, run, interval) for value in run.recipe.levels],
        differences=[one.difference for one in everything if one.difference],
        left_out=[_left_out(image, failed[image.image_id]) for image in sample if image.image_id in failed],
        origin=origin,
        interval=interval,
    )


class _Compared(NamedTuple):
    """One thing that is compared."""

    level: float
    what: str
    #: As in LevelAgreement.largest.
    apart: float
    difference: Difference | None


def _compared_votes(image: Stored, here: Sequence[Any]) -> Iterator[_Compared]:
    found = {row.level: row for row in here}
    for stored in image.predicted:
        for what in VOTED:
            ours, theirs = _answer(found[stored.level], what), _answer(stored, what)
            apart = abs((ours.confidence or 0) - (theirs.confidence or 0)) if ours.label == theirs.label else 0.0
            difference = Relabelled(image.entry.path, stored.level, what, theirs, ours)
            yield _Compared(stored.level, what, apart, difference if ours.label != theirs.label else None)


def _compared_counts(image: Stored, here: Sequence[Any]) -> Iterator[_Compared]:
    for level in sorted({row.level for row in image.counted}):
        theirs, ours = (_counts(rows, level, image.part.first) for rows in (image.counted, here))
        apart = max(abs(theirs.get(label, 0) - ours.get(label, 0)) for label in theirs | ours) / image.part.size
        difference = Recounted(image.entry.path, level, image.part, theirs, ours)
        yield _Compared(level, "counts", apart, difference if ours != theirs else None)


def _answer(row: Predicted, what: str) -> Answer:
    if what == "vote":
        return Answer(row.label_maj)
    return Answer(getattr(row, f"label_{what}"), getattr(row, f"confidence_{what}"))


def _counts(rows: Sequence[Counted], level: float, part: int) -> dict[int, int]:
    return {row.label: row.n for row in rows if (row.level, row.part) == (level, part)}


def _by_image(rows: Sequence[Predicted | Counted]) -> dict[int, list[Predicted | Counted]]:
    found: dict[int, list[Predicted | Counted]] = {}
    for row in rows:
        found.setdefault(row.image_id, []).append(row)
    return found


def _level(value: float, everything: Sequence[_Compared], run: RunInfo, interval: Interval) -> LevelAgreement:
    here = [one for one in everything if one.level == value]
    rates = {}
    for what in COUNTED if run.recipe.certifies else VOTED:
        of_it = [one for one in here if one.what == what]
        rates[what] = rate(sum(one.difference is None for one in of_it), len(of_it), interval)
    return LevelAgreement(value=value, rates=rates, largest=max((one.apart for one in here), default=0.0))


def _left_out(image: Stored, failure: Failed) -> tuple[str, str, str]:
    return image.entry.path, failure.code, failure.message
