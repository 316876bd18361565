"""What is due: which jobs are to be put on the queue now, first or again. The dispatcher's half of a job's life."""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, and_, case, false, func, not_, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from db.store import UNSENT, insert
from db.tables import Failure, Image, Job, Run, now


def take_due(
    session: Session, *, run_ids: Collection[str] | None, window: int, lost_after: float, oldest: int | None
) -> list[int]:
    """Marks as sent, and returns, the ids of jobs that must be put on the queue: a window of them.

    The oldest first, but those that a worker gave back after all others.

    Due is what was never sent, what a worker held until its lease ran out, and what was lost on the way: sent more
    than so many seconds ago, never claimed, and not on the queue any more. The queue is first in, first out: what was
    sent before the oldest message on it is not on it.

    Args:
        session: of a transaction.
        run_ids: of these runs only; None for all.
        window: most jobs that may be on their way at once.
        lost_after: seconds.
        oldest: the job that the oldest message on the queue names; None if the queue is empty.
    """
    mine: ColumnElement[bool] = and_(
        Job.done_at.is_(None),
        Job.run_id.in_(select(Run.id).where(Run.cancelled_at.is_(None))),
        true() if run_ids is None else Job.run_id.in_(run_ids),
    )
    lost = Job.sent_at < now(-lost_after)
    if oldest is not None:
        head = aliased(Job)
        lost = and_(lost, Job.sent_at < select(head.sent_at).where(head.id == oldest).scalar_subquery())
        # A head that nobody knows, or that is being sent again, tells nothing: then nothing is lost yet.
        lost = func.coalesce(lost, false())
    queued = and_(Job.sent_at.is_not(None), Job.lease_until.is_(None))
    due = or_(
        and_(Job.sent_at.is_(None), Job.lease_until.is_(None)),
        Job.lease_until < now(),
        and_(queued, lost),
    )
    # What was given back waits for its time, and must not keep others waiting with it.
    held = and_(Job.sent_at.is_not(None), Job.lease_until >= now(), Job.refused_by.is_(None))
    on_the_way = or_(and_(queued, not_(lost)), held)
    free = window - session.scalars(select(func.count()).where(mine, on_the_way)).one()
    if free <= 0:
        return []
    chosen = select(Job.id).where(mine, due).order_by(Job.refused_by.is_not(None), Job.id).limit(free)
    if session.get_bind().dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True)
    sent = update(Job).where(Job.id.in_(chosen)).values(sent_at=now(), lease_until=None, worker=None)
    return sorted(session.scalars(sent.returning(Job.id)))


def unsend(session: Session, job_ids: Iterable[int]) -> None:
    """The queue did not take these: they are due again."""
    session.execute(update(Job).where(Job.id.in_(job_ids), Job.done_at.is_(None)).values(sent_at=None))


def release(session: Session, run_id: str, *, worker: str | None) -> None:
    """Makes a run's unfinished jobs due at once, where it is known that nobody works on them.

    Args:
        run_id: the run.
        worker: whose leases are ended: those that begin so; None for everybody's.
    """
    held = Job.worker.startswith(worker, autoescape=True) if worker else Job.worker.is_not(None)
    mine = update(Job).where(Job.run_id == run_id, Job.done_at.is_(None))
    # A person ended those attempts, and no image: they do not count. What was refused was not counted to begin with.
    ended = and_(Job.lease_until.is_not(None), Job.refused_by.is_(None), Job.attempts > 0)
    fewer = case((ended, Job.attempts - 1), else_=Job.attempts)
    session.execute(mine.where(or_(Job.lease_until.is_(None), held)).values(**UNSENT, attempts=fewer))


def split_spent(session: Session, *, max_attempts: int) -> int:
    """Splits the jobs that were claimed ``max_attempts`` times and never finished; returns how many.

    Halving ends at one image; that image is what ends its workers, and becomes a failure.
    """
    spent = session.scalars(
        select(Job)
        .where(Job.done_at.is_(None), Job.attempts >= max_attempts, Job.lease_until < now(), Job.refused_by.is_(None))
        .with_for_update(skip_locked=True)
    ).all()
    for job in spent:
        if job.first == job.last:
            image = select(Image.id).join(Run, Run.dataset_id == Image.dataset_id)
            image_id = session.scalars(image.where(Run.id == job.run_id, Image.position == job.first)).one()
            why = job.note or "the worker ended, or fell silent"
            message = f"in each of {job.attempts} attempts at this image: {why}"
            row = {"run_id": job.run_id, "image_id": image_id, "code": "worker_failed", "message": message}
            session.execute(insert(session, Failure).on_conflict_do_nothing(), row)
            job.done_at = now()
            continue
        middle = (job.first + job.last) // 2
        rest = 0 if middle + 1 == job.last else max_attempts - 1
        session.add(Job(run_id=job.run_id, first=middle + 1, last=job.last, attempts=rest))
        job.last = middle
        # Which half it is, one attempt tells; only the image alone gets all of them.
        job.attempts = 0 if job.first == middle else max_attempts - 1
        job.sent_at = job.lease_until = job.worker = None
    return len(spent)
