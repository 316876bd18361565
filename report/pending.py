"""What "pending" means of a run of certificates, in reports, comparisons and exports alike."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.runs import RunInfo
from db.tables import Failure
from report.counts import copies_of_all, leaders


def pending(session: Session, run: RunInfo, n: int) -> int:
    """How many images have neither a failure nor an answer yet, at the level where most are without.

    Copies beyond the first n are not waited for: a run that is still being worked on may have every answer at n.

    Args:
        session: a reading one.
        run: a run of certificates.
        n: how many copies estimate; of a run that stops early, its own.
    """
    if copies_of_all(session, run) >= n:
        return 0  # known from the jobs, so that no counts are read
    found = leaders(run, n).c
    answered = select(found.level, func.count().label("images")).group_by(found.level)
    images: dict[float, int] = {row.level: row.images for row in session.execute(answered)}
    failed = session.scalars(select(func.count()).where(Failure.run_id == run.id)).one()
    return run.expected - failed - min(images.get(level, 0) for level in run.recipe.levels)
