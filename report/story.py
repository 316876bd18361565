"""One image of a run: what was found for it at each level, or its failure, or neither while it is pending."""

import difflib
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from db.errors import WrongUse, plain
from db.outcome import Judged
from db.runs import RunInfo
from db.store import Entry
from db.tables import Failure, Image, Prediction
from report.kind import require_votes

#: Most paths that a message names, and most paths among which it looks for them: comparing these takes half a second.
CANDIDATES, MOST_COMPARED = 3, 5_000


class Judgement(NamedTuple):
    """What became of the image at a level, as db.outcome defines it."""

    #: right, wrong, rejected or unlabelled.
    outcome: str
    #: Whether the vote is right where ns is wrong, and wrong or rejecting where ns is right; None without a label.
    saved: bool | None
    lost: bool | None


@dataclass(frozen=True, kw_only=True)
class Story:
    """What the record holds of one image."""

    image_id: int
    position: int
    entry: Entry
    #: Ascending; none if the image failed or is pending.
    levels: list[Prediction]
    #: One for each of the levels.
    judgements: list[Judgement]
    failure: Failure | None
    #: Ids of the images before and after it in the dataset.
    before: int | None
    after: int | None


def story(session: Session, run: RunInfo, image_id: int) -> Story:
    """All that the run holds of one image.

    Raises:
        WrongUse: if it is not an image of the run's dataset, or the run has certificates.
    """
    require_votes(run, f"`smoothvote export {run.id}` gives a row for each image")
    image = find_image(session, run, image_id)
    judged = Judged()
    found = session.execute(
        select(Prediction, judged.outcome, judged.change("saved"), judged.change("lost"))
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id, Prediction.image_id == image_id)
        .order_by(Prediction.level)
    ).all()
    beside = select(Image.position, Image.id).where(
        Image.dataset_id == run.dataset_id, Image.position.in_((image.position - 1, image.position + 1))
    )
    neighbours: dict[int, int] = {row.position: row.id for row in session.execute(beside)}
    return Story(
        image_id=image_id,
        position=image.position,
        entry=entry_of(image),
        levels=[prediction for prediction, *_ in found],
        judgements=[Judgement(outcome, *map(_flag, changes)) for _, outcome, *changes in found],
        failure=session.get(Failure, (run.id, image_id)),
        before=neighbours.get(image.position - 1),
        after=neighbours.get(image.position + 1),
    )


def _flag(change: int | None) -> bool | None:
    return None if change is None else bool(change)


def find_image(session: Session, run: RunInfo, image_id: int) -> Image:
    """The image that has this id.

    Raises:
        WrongUse: if it is not an image of the run's dataset.
    """
    image = session.scalar(select(Image).where(Image.id == image_id, Image.dataset_id == run.dataset_id))
    if image is None:
        raise WrongUse(f"run {run.id} has no image {image_id}")
    return image


def named_image(session: Session, run: RunInfo, name: str) -> int:
    """Id of the image with this path below the dataset's root, or of the only one whose path ends with it.

    Raises:
        WrongUse: if there is none, or several paths end with it.
    """
    mine = select(Image.id, Image.path).where(Image.dataset_id == run.dataset_id).order_by(Image.position)
    if exact := session.execute(mine.where(Image.path == name)).first():
        return int(exact.id)
    ending = mine.where(Image.path.endswith(name.rpartition("/")[2] or name, autoescape=True))
    rows = session.execute(ending).all()
    # Whole parts of a path: dog.jpg is a/dog.jpg, and never hotdog.jpg.
    found = [row for row in rows if f"/{row.path}".endswith(f"/{name}")]
    # Or a person gives the file's path on this machine, which ends with the path in the record.
    lying = [row for row in rows if name.endswith(f"/{row.path}")]
    found = found or sorted(lying, key=lambda row: len(row.path))[-1:]
    if len(found) == 1:
        return int(found[0].id)
    if not found:
        raise WrongUse(
            f"run {run.id} has no image {name!r}{_near(session, mine, name)}; `smoothvote images {run.id}` lists all"
        )
    some = plain(", ".join(row.path for row in found[:CANDIDATES])) + (", …" if len(found) > CANDIDATES else "")
    raise WrongUse(f"{name!r} fits {len(found)} images of run {run.id}: {some}; give more of the path")


def _near(session: Session, images: "Select[int, str]", name: str) -> str:
    """What a person may have meant who named no image."""
    paths = session.execute(images.limit(MOST_COMPARED)).all()
    by_name = {row.path.rpartition("/")[2]: row.path for row in paths}
    near = difflib.get_close_matches(name.rpartition("/")[2], by_name, n=CANDIDATES)
    meant = f"did you mean {plain(' or '.join(by_name[one] for one in near))}? " if near else ""
    return f": {meant}give its path in the dataset, or the last parts of it"


def entry_of(image: Image) -> Entry:
    """An image as its producer recorded it."""
    return Entry(path=image.path, label=image.label, bytes=image.bytes)
