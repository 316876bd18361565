"""A random sample of a run's images with what the record has of each. The same seed draws the same sample."""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice

from sqlalchemy import Label, select, tuple_
from sqlalchemy.orm import Session

from db.copies import Part
from db.found import Computer, Counted, Predicted
from db.runs import RunInfo
from db.store import Entry
from db.tables import Count, Failure, Image, Job, Prediction

#: Positions that one query looks at: SQLite takes at most 32,766 values.
AT_ONCE = 1000
#: The copies of a vote, which db/tables.py counts as one.
OF_A_VOTE = Part(0, 0)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An image, and what the record has of it."""

    image_id: int
    position: int
    entry: Entry
    #: Of a vote: a row a level, ascending.
    predicted: Sequence[Predicted] = ()
    #: Of a certificate: the copies of one of its parts, and their labels' counts. A vote is of one copy.
    part: Part = OF_A_VOTE
    counted: Sequence[Counted] = ()
    #: What computed it; None: the record does not tell.
    computer: Computer | None = None


def draw_sample(session: Session, run: RunInfo, *, size: int, seed: int = 0) -> list[Stored]:
    """Draws images of a run that have rows: each set of so many is equally likely.

    Images that failed or are pending are passed over. Of a certificate, one part of each image's copies is drawn, too.

    Args:
        session: a reading one.
        run: the run.
        size: how many images; fewer if the run has fewer.
        seed: the same seed draws the same images from the same rows, and from another run over the same images.

    Returns:
        The images in the dataset's order.
    """
    drawn: list[Stored] = []
    positions = shuffled(run.expected, random.Random(seed))
    while len(drawn) < size and (some := list(islice(positions, AT_ONCE))):
        images = _usable(session, run, some)
        for position in [position for position in some if position in images][: size - len(drawn)]:
            image_id, entry = images[position]
            drawn.append(Stored(image_id=image_id, position=position, entry=entry))
    drawn.sort(key=lambda image: image.position)
    read = _with_counts if run.recipe.certifies else _with_predictions
    return [
        image
        for number in range(0, len(drawn), AT_ONCE)
        for image in read(session, run, drawn[number : number + AT_ONCE], seed)
    ]


def shuffled(count: int, chance: random.Random) -> Iterator[int]:
    """The numbers from 0 to ``count`` - 1 in a random order, without a list of all of them (Fisher and Yates)."""
    moved: dict[int, int] = {}
    for last in range(count - 1, -1, -1):
        at = chance.randrange(last + 1)
        chosen, filler = moved.get(at, at), moved.pop(last, last)
        if at != last:
            moved[at] = filler
        yield chosen


def _usable(session: Session, run: RunInfo, positions: Sequence[int]) -> dict[int, tuple[int, Entry]]:
    """Id and entry of those of the images that have rows and no failure, by position."""
    table = Count if run.recipe.certifies else Prediction
    has_rows = select(table.run_id).where(table.run_id == run.id, table.image_id == Image.id).exists()
    failed = select(Failure.run_id).where(Failure.run_id == run.id, Failure.image_id == Image.id).exists()
    found = session.execute(
        select(Image.position, Image.id, Image.path, Image.label, Image.bytes).where(
            Image.dataset_id == run.dataset_id, Image.position.in_(positions), has_rows, ~failed
        )
    )
    return {row.position: (row.id, Entry(path=row.path, label=row.label, bytes=row.bytes)) for row in found}


def _with_predictions(session: Session, run: RunInfo, images: Sequence[Stored], seed: int) -> Iterator[Stored]:
    """The images with their predictions."""
    names = [field.name for field in fields(Predicted)]
    rows: defaultdict[int, list[Predicted]] = defaultdict(list)
    computers: dict[int, Computer | None] = {}
    found = (
        select(*(getattr(Prediction, name) for name in names), *_computer_of(run))
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id, Prediction.image_id.in_([image.image_id for image in images]))
        .order_by(Prediction.level)
    )
    for row in session.execute(found).mappings():
        rows[row["image_id"]].append(Predicted(**{name: row[name] for name in names}))
        computers[row["image_id"]] = row["device"] and Computer(row["device"], row["engine"])
    for image in images:
        yield replace(image, predicted=rows[image.image_id], computer=computers[image.image_id])


def _with_counts(session: Session, run: RunInfo, images: Sequence[Stored], seed: int) -> Iterator[Stored]:
    """The images with the counts of one of their parts each, drawn by chance."""
    parts: defaultdict[int, list[int]] = defaultdict(list)
    ids = [image.image_id for image in images]
    of_images = select(Count.image_id, Count.part).where(Count.run_id == run.id, Count.image_id.in_(ids))
    for image_id, part in session.execute(of_images.distinct().order_by(Count.image_id, Count.part)):
        parts[image_id].append(part)
    drawn = [
        (image.image_id, random.Random(f"{seed} {image.position}").choice(parts[image.image_id])) for image in images
    ]
    names = [field.name for field in fields(Counted)]
    counts: defaultdict[int, list[Counted]] = defaultdict(list)
    computers: dict[int, Computer | None] = {}
    found = (
        select(*(getattr(Count, name) for name in names), *_computer_of(run, copies=True))
        .join(Image, Image.id == Count.image_id)
        .where(Count.run_id == run.id, tuple_(Count.image_id, Count.part).in_(drawn))
        .order_by(Count.level, Count.label)
    )
    for row in session.execute(found).mappings():
        counts[row["image_id"]].append(Counted(**{name: row[name] for name in names}))
        computers[row["image_id"]] = row["device"] and Computer(row["device"], row["engine"])
    for image, (_, first) in zip(images, drawn, strict=True):
        rows = counts[image.image_id]
        size = sum(row.n for row in rows) // len(run.recipe.levels)  # every copy has one label at each level
        yield replace(image, part=Part(first, first + size - 1), counted=rows, computer=computers[image.image_id])


def _computer_of(run: RunInfo, *, copies: bool = False) -> list[Label[str | None]]:
    """Device and engine of the job that an image is in, and of a certificate the part of its copies."""
    of_part = [Job.copies_first <= Count.part, Job.copies_last >= Count.part] if copies else []
    mine = [Job.run_id == run.id, Job.first <= Image.position, Job.last >= Image.position, *of_part]
    # The last begin before the image is its own: an index leads there, however many jobs the run has.
    return [
        select(column).where(*mine).order_by(Job.first.desc()).limit(1).scalar_subquery().label(column.key)
        for column in (Job.device, Job.engine)
    ]
