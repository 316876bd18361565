"""What a person tells a run that was submitted: to end, to pause, to go on, and how urgent it is."""

from sqlalchemy import func, update
from sqlalchemy.orm import Session

from db.due import recall
from db.tables import Run, now


def cancel(session: Session, run_id: str) -> None:
    """Cancels a run: no more jobs are sent, and workers leave those on the queue. They are due if it is resumed."""
    session.execute(update(Run).where(Run.id == run_id).values(cancelled_at=func.coalesce(Run.cancelled_at, now())))
    recall(session, run_id)


def pause(session: Session, run_id: str) -> None:
    """Pauses a run: no more jobs are sent, and workers leave those on the queue. Jobs that they have are finished."""
    session.execute(update(Run).where(Run.id == run_id).values(paused_at=func.coalesce(Run.paused_at, now())))
    recall(session, run_id)


def resume(session: Session, run_id: str) -> None:
    """Ends a pause: jobs are due again, those too that workers left on the queue meanwhile."""
    session.execute(update(Run).where(Run.id == run_id).values(paused_at=None))
    recall(session, run_id)


def prioritise(session: Session, run_id: str, priority: int) -> None:
    """Sets a run's priority. Jobs that are on the queue already keep their place."""
    session.execute(update(Run).where(Run.id == run_id).values(priority=priority))
