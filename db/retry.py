"""Computing failures again: images of a run that failed are pending again, and what was found for the others stays."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.orm import Session

from db.session import insert, writing
from db.tables import Count, Failure, Image, Job, Run, Summary

#: Images that one transaction makes pending.
AT_ONCE = 1000


class Piece(NamedTuple):
    """A part of a job: positions of its first and last image, and whether it is to be done again."""

    first: int
    last: int
    again: bool


def retry(engine: Engine, run_id: str, code: str) -> int:
    """Makes the images pending that failed with this code, and returns their number.

    Of a certificate, all copies of such an image are counted again. An interrupted retry goes on when it is repeated:
    each transaction deletes the failures of some images, and makes them pending.
    """
    images = 0
    while some := _retry_some(engine, run_id, code):
        images += some
    return images


def codes(session: Session, run_id: str) -> dict[str, int]:
    """How many images of a run failed with each code."""
    rows = session.execute(
        select(Failure.code, func.count()).where(Failure.run_id == run_id).group_by(Failure.code).order_by(Failure.code)
    )
    return {code: count for code, count in rows}  # noqa: C416 - a row is no pair to dict()


def _retry_some(engine: Engine, run_id: str, code: str) -> int:
    failed = (
        select(Image.id, Image.position)
        .join(Failure, Failure.image_id == Image.id)
        .where(Failure.run_id == run_id, Failure.code == code)
        .order_by(Image.position)
        .limit(AT_ONCE)
    )
    with writing(engine) as session:
        # With the row locked, nobody stores a summary of the run meanwhile.
        session.execute(select(Run.id).where(Run.id == run_id).with_for_update(key_share=True))
        found = session.execute(failed).all()
        ids, positions = [image.id for image in found], [image.position for image in found]
        if not found:
            return 0
        _reopen(session, run_id, positions)
        for table in (Failure, Count):
            session.execute(delete(table).where(table.run_id == run_id, table.image_id.in_(ids)))
        session.execute(delete(Summary).where(Summary.run_id == run_id))
    return len(found)


def _reopen(session: Session, run_id: str, positions: Sequence[int]) -> None:
    """Cuts images out of the jobs that have them, into jobs of their own that are due.

    A job that is not done may have left such an image out when it was claimed, so a new one takes its place, too. What
    its worker stores later is refused, because the job is gone.
    """
    near = (Job.run_id == run_id, Job.first <= positions[-1], Job.last >= positions[0])
    touched = [
        job
        for job in session.scalars(select(Job).where(*near).order_by(Job.id).with_for_update())
        if bisect_left(positions, job.first) < bisect_left(positions, job.last + 1)
    ]
    pieces = [_row(job, piece) for job in touched for piece in cut(job, positions)]
    if not touched:
        return
    old = Job.id.in_([job.id for job in touched])
    # Out of the way of the new ones, and deleted only after them, so that no new job gets the id of an old one.
    session.execute(update(Job).where(old).values(first=-1 - Job.first))
    session.execute(insert(session, Job), pieces)
    session.execute(delete(Job).where(old))


def cut(job: Job, positions: Sequence[int]) -> Iterator[Piece]:
    """Cuts a job into pieces that are to be done again and pieces that stay as they are.

    Args:
        job: any.
        positions: of the images that are to be done again, ascending; those of other jobs do not matter.
    """
    if job.done_at is None:
        yield Piece(job.first, job.last, True)
        return
    inside = set(positions[bisect_left(positions, job.first) : bisect_left(positions, job.last + 1)])
    for again, span in groupby(range(job.first, job.last + 1), key=inside.__contains__):
        first, *rest = span
        yield Piece(first, rest[-1] if rest else first, again)


def _row(job: Job, piece: Piece) -> dict[str, Any]:
    row: dict[str, Any] = {"run_id": job.run_id, "first": piece.first, "last": piece.last}
    row |= {"copies_first": job.copies_first, "copies_last": job.copies_last}
    # How the job came to be done; of a piece that is to be done again nothing is known yet.
    done: dict[str, Any] = {name: getattr(job, name) for name in ("sent_at", "worker", "done_at", "device", "engine")}
    if piece.again:
        return row | dict.fromkeys(done) | {"attempts": 0}
    return row | done | {"attempts": job.attempts}
