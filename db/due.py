"""Which jobs are due, that is, must go on the queue now: the dispatcher's half of a job's life."""

from collections.abc import Collection, Iterable

from sqlalchemy import ColumnElement, and_, case, false, func, not_, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from db.session import insert
from db.store import UNSENT
from db.tables import Failure, Image, Job, Run, now


def take_due(
    session: Session, *, run_ids: Collection[str] | None, window: int, lost_after: float, oldest: int | None
) -> list[int]:
    """Marks due jobs as sent, as many as fit into the window, and returns their ids.

    A job is due if it was never sent, if its worker fell silent until the lease ended, or if its message was lost: it
    was sent more than ``lost_after`` seconds ago, nobody claimed it, and it is not on the queue any more. The queue is
    first in, first out, so a job that was sent before the one that the oldest message names is not on it.

    Args:
        session: a writing one.
        run_ids: take jobs of these runs only; None for all runs.
        window: largest number of jobs that may be on the queue or with a worker at once.
        lost_after: seconds.
        oldest: id of the job that the oldest message on the queue names; None if the queue is empty.
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
        # If the oldest message names no known job, or one that is being sent again, nothing counts as lost yet.
        lost = func.coalesce(lost, false())
    queued = and_(Job.sent_at.is_not(None), Job.leased_until.is_(None))
    due = or_(
        and_(Job.sent_at.is_(None), Job.leased_until.is_(None)),
        Job.leased_until < now(),
        and_(queued, lost),
    )
    # A job that was given back and waits for its time takes no place in the window.
    held = and_(Job.sent_at.is_not(None), Job.leased_until >= now(), Job.refused_by.is_(None))
    on_the_way = or_(and_(queued, not_(lost)), held)
    free = window - session.scalars(select(func.count()).where(mine, on_the_way)).one()
    if free <= 0:
        return []
    # Jobs that were given back come last, so that they keep no others waiting.
    chosen = select(Job.id).where(mine, due).order_by(Job.refused_by.is_not(None), Job.id).limit(free)
    if session.get_bind().dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True)
    sent = update(Job).where(Job.id.in_(chosen)).values(sent_at=now(), leased_until=None, worker=None)
    return sorted(session.scalars(sent.returning(Job.id)))


def unsend(session: Session, job_ids: Iterable[int]) -> None:
    """Makes jobs due again that the queue did not take."""
    session.execute(update(Job).where(Job.id.in_(job_ids), Job.done_at.is_(None)).values(sent_at=None))


def release(session: Session, run_id: str, *, worker: str | None) -> None:
    """Makes a run's unfinished jobs due at once. For use when it is known that nobody works on them.

    Args:
        session: a writing one.
        run_id: the run.
        worker: ends the leases of workers whose names begin so; None to end all leases.
    """
    held = Job.worker.startswith(worker, autoescape=True) if worker else Job.worker.is_not(None)
    mine = update(Job).where(Job.run_id == run_id, Job.done_at.is_(None))
    # A person ended these attempts, not an image, so they do not count. Those that were refused do not count anyway.
    ended = and_(Job.leased_until.is_not(None), Job.refused_by.is_(None), Job.attempts > 0)
    fewer = case((ended, Job.attempts - 1), else_=Job.attempts)
    session.execute(mine.where(or_(Job.leased_until.is_(None), held)).values(**UNSENT, attempts=fewer))


def split_spent(session: Session, *, max_attempts: int) -> int:
    """Splits each job that was claimed ``max_attempts`` times and never finished; returns their number.

    Halving ends at a single image. If that one never finishes either, it ends its workers, and becomes a failure.
    """
    spent = session.scalars(
        select(Job)
        .where(Job.done_at.is_(None), Job.attempts >= max_attempts, Job.leased_until < now(), Job.refused_by.is_(None))
        .with_for_update(skip_locked=True)
    ).all()
    for job in spent:
        if job.first == job.last:
            image = select(Image.id).join(Run, Run.dataset_id == Image.dataset_id)
            image_id = session.scalars(image.where(Run.id == job.run_id, Image.position == job.first)).one()
            why = job.note or "the worker died or stopped answering"
            message = f"in each of {job.attempts} attempts at this image: {why}"
            row = {"run_id": job.run_id, "image_id": image_id, "code": "worker_failed", "message": message}
            session.execute(insert(session, Failure).on_conflict_do_nothing(), row)
            job.done_at = now()
            continue
        middle = (job.first + job.last) // 2
        rest = 0 if middle + 1 == job.last else max_attempts - 1
        copies = {"copies_first": job.copies_first, "copies_last": job.copies_last}
        session.add(Job(run_id=job.run_id, first=middle + 1, last=job.last, attempts=rest, **copies))
        job.last = middle
        # One attempt is enough to see whether a half holds the image; a single image gets all attempts again.
        job.attempts = 0 if job.first == middle else max_attempts - 1
        job.sent_at = job.leased_until = job.worker = None
    return len(spent)
