"""Which jobs are due, that is, must go on the queue now: the dispatcher's half of a job's life."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, ScalarSelect, TextClause, and_, case, func, or_, select, true, update
from sqlalchemy.orm import Session, aliased

from db.session import insert
from db.share import Contender, Sendable, share
from db.store import UNSENT
from db.tables import OUT, WAITING, Failure, Image, Job, Run, now

#: Seconds for which the work that was done for a run counts when runs share the workers.
MEMORY = 60.0
#: So many models a worker keeps loaded (worker/classifiers.py). If more runs than that share the workers, one run is
#: served for about TURN seconds before the next, so that workers do not spend their time loading models.
MODELS_KEPT = 2
TURN = 20.0
#: The most jobs that are taken at once; what is left is taken at the next look.
MOST_AT_ONCE = 10_000

#: Images of a job, times its copies of each.
SIZE: ColumnElement[int] = (Job.last - Job.first + 1) * (Job.copies_last - Job.copies_first + 1)
#: Sent, and not claimed by a worker.
QUEUED = and_(OUT, Job.sent_at.is_not(None), Job.leased_until.is_(None))
#: Given back by a worker that lacked something, and due again. Of its run, these jobs are sent last.
GIVEN_BACK = and_(OUT, Job.refused_by.is_not(None), Job.leased_until <= now())


def reclaim(session: Session, *, run_ids: Collection[str] | None = None, lost_after: float, oldest: int | None) -> None:
    """Makes jobs due again whose worker fell silent until the lease ended, or whose message was lost.

    A message was lost if its job was sent more than ``lost_after`` seconds ago, nobody claimed it, and it is not on the
    queue any more. The queue is first in, first out, so a job that was sent before the one that the oldest message
    names is not on it.

    Args:
        session: a writing one.
        run_ids: only jobs of these runs; None for all runs.
        lost_after: seconds.
        oldest: id of the job that the oldest message on the queue names; None if the queue is empty.
    """
    lost = and_(QUEUED, Job.sent_at < now(-lost_after))
    if oldest is not None:
        head = aliased(Job)
        # If the oldest message names no known job, or one that is being sent again, nothing counts as lost yet.
        lost = and_(lost, Job.sent_at < select(head.sent_at).where(head.id == oldest).scalar_subquery())
    silent = and_(Job.leased_until <= now(), Job.refused_by.is_(None))
    mine = true() if run_ids is None else Job.run_id.in_(run_ids)
    _update(session, and_(OUT, mine, or_(lost, silent)), **UNSENT)


def take_due(session: Session, *, run_ids: Collection[str] | None = None, room: int) -> list[int]:
    """Marks due jobs as sent, and returns their ids in the order in which they are to be sent.

    Runs share the workers as db/share.py says. Runs that are paused or cancelled have no part in it.

    Args:
        session: a writing one.
        run_ids: take jobs of these runs only; None for all runs.
        room: how many jobs to take at most.
    """
    room = min(room, MOST_AT_ONCE)
    runs = _active(session, run_ids) if room > 0 else []
    if not runs:
        return []
    views_a_second = sum(run.done for run in runs) / MEMORY
    at_once = -(-room // len(runs))
    jobs = {run.id: _jobs_of(session, run, at_once=at_once, most=room) for run in runs}
    chosen = share(
        [Contender(run_id=run.id, priority=run.priority, work=run.out + run.done, jobs=jobs[run.id]) for run in runs],
        room,
        ahead=TURN * views_a_second if len(runs) > MODELS_KEPT else 0,
        holder=max(((run.sent_at, run.id) for run in runs if run.sent_at), default=(0, None))[1],
    )
    _update(session, Job.id.in_(chosen), sent_at=now(), leased_until=None, worker=None)
    return chosen


class _Active(NamedTuple):
    """A run that has jobs to send."""

    id: str
    priority: int
    #: Views of an image at all levels, for one of its copies.
    views: int
    #: Views of its jobs that are on the queue, with a worker or given back; and of those done in the last minute.
    out: int
    done: int
    #: When the newest of its jobs that are out was sent, and when its last job was done: seconds since 1970; 0: none.
    sent_at: float
    done_at: float


def _active(session: Session, run_ids: Collection[str] | None) -> list[_Active]:
    """The runs that have jobs to send; first the one of which nothing was done for the longest time."""

    def of_its_jobs(what: ColumnElement[Any], *which: ColumnElement[bool] | TextClause) -> ScalarSelect[Any]:
        return select(what).where(Job.run_id == Run.id, *which).correlate(Run).scalar_subquery()

    has = [select(Job.id).where(Job.run_id == Run.id, which).exists() for which in (WAITING, GIVEN_BACK)]
    ids = session.scalars(
        select(Run.id)
        .where(Run.cancelled_at.is_(None), Run.paused_at.is_(None), or_(*has))
        .where(true() if run_ids is None else Run.id.in_(run_ids))
    ).all()
    if len(ids) < 2:  # it shares with nobody: to count what was done in a minute would be the most work of all
        return [_Active(run_id, priority=0, views=1, out=0, done=0, sent_at=0, done_at=0) for run_id in ids]
    rows = session.execute(
        select(
            Run.id,
            Run.priority,
            # A certificate has no views but the copies themselves.
            func.json_array_length(Run.recipe["levels"]) * case((Run.copies > 1, 1), else_=3),
            func.coalesce(of_its_jobs(func.sum(SIZE), OUT), 0),
            func.coalesce(of_its_jobs(func.sum(SIZE), Job.done_at > now(-MEMORY)), 0),
            of_its_jobs(func.max(Job.sent_at), OUT),
            of_its_jobs(func.max(Job.done_at), Job.done_at.is_not(None)),
        )
        .where(Run.id.in_(ids))
        .order_by(Run.submitted_at, Run.id)
    )
    found = [
        _Active(run_id, priority, views, int(out) * views, int(done) * views, _seconds(sent_at), _seconds(done_at))
        for run_id, priority, views, out, done, sent_at, done_at in rows
    ]
    return sorted(found, key=lambda run: run.done_at)


def _seconds(moment: datetime | None) -> float:
    return moment.timestamp() if moment else 0.0


def _jobs_of(session: Session, run: _Active, *, at_once: int, most: int) -> Iterator[Sendable]:
    """The jobs of a run that can be sent, ``at_once`` of them by a statement; last, those that were given back.

    On PostgreSQL, jobs that another dispatcher takes at this moment are left out.
    """
    jobs = select(Job.id, SIZE).where(Job.run_id == run.id).with_for_update(skip_locked=True)
    last, full = 0, True
    while full:
        rows = session.execute(jobs.where(WAITING, Job.id > last).order_by(Job.id).limit(at_once)).all()
        for last, size in rows:
            yield Sendable(last, size * run.views)
        full = len(rows) == at_once
    for job_id, size in session.execute(jobs.where(GIVEN_BACK).order_by(Job.leased_until, Job.id).limit(most)):
        yield Sendable(job_id, size * run.views)


def unsend(session: Session, job_ids: Iterable[int]) -> None:
    """Makes jobs due again that the queue did not take."""
    _update(session, and_(Job.id.in_(job_ids), Job.done_at.is_(None)), sent_at=None)


def recall(session: Session, run_id: str) -> None:
    """Makes a run's jobs on the queue due again. Messages that still name them do no harm: a job is claimed once."""
    _update(session, and_(QUEUED, Job.run_id == run_id), sent_at=None)


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
        .where(OUT, Job.attempts >= max_attempts, Job.leased_until <= now(), Job.refused_by.is_(None))
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


def _update(session: Session, which: ColumnElement[bool], **values: Any) -> None:
    session.execute(update(Job).where(which).values(values), execution_options={"synchronize_session": False})
