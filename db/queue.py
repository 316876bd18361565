"""The queue as the record knows it: what waits, what workers have in hand, and what they finished lately."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Select, and_, case, func, select
from sqlalchemy.orm import Session

from db.tables import OUT, WAITING, Job, Run, now

#: The states of a job that is not done:
#: due: waits in the database until it is sent · queued: on the queue · claimed: with a worker · refused: given back by
#: a worker that cannot do it, and waits for its time · paused, cancelled: of such a run, and not with a worker.
STATES = ("due", "queued", "claimed", "refused", "paused", "cancelled")

#: Seconds that count as lately.
LATELY = 60.0


@dataclass(frozen=True, kw_only=True)
class Queue:
    """The jobs that are not done."""

    #: By the run's id and the state; only those that there are.
    jobs: dict[str, dict[str, int]]
    #: Seconds for which the oldest due job is due, and the oldest queued job is on the queue; None: there is none.
    oldest_due: float | None
    oldest_queued: float | None

    def count(self, state: str) -> int:
        """Jobs of all runs in a state."""
        return sum(states.get(state, 0) for states in self.jobs.values())


def read_queue(session: Session) -> Queue:
    """Counts the jobs that are not done. Two indexes hold just these, however many are done."""
    jobs: dict[str, dict[str, int]] = {}
    ages: dict[str, list[float]] = {"due": [], "queued": []}
    for row in (*session.execute(_waiting()), *session.execute(_out())):
        states = jobs.setdefault(row.run_id, {})
        states[row.state] = states.get(row.state, 0) + row.jobs
        if row.state in ages:
            ages[row.state].append(seconds_between(row.since, row.now))
    oldest = {state: max(found, default=None) for state, found in ages.items()}
    return Queue(jobs=jobs, oldest_due=oldest["due"], oldest_queued=oldest["queued"])


def _waiting() -> Select[Any]:
    """Jobs that nobody has, by run. They wait since their run was submitted."""
    counted = select(Job.run_id, func.count().label("jobs")).where(WAITING).group_by(Job.run_id).subquery()
    state = case(*_STOPPED, else_="due").label("state")
    found = select(counted.c.run_id, state, counted.c.jobs, Run.submitted_at.label("since"), now().label("now"))
    return found.join(Run, Run.id == counted.c.run_id)


def _out() -> Select[Any]:
    """Jobs that were sent or claimed, by run and state. One whose lease is over is due since then."""
    in_time = Job.leased_until > now()
    claimed = and_(in_time, Job.refused_by.is_(None))
    state = case(
        (claimed, "claimed"),
        *_STOPPED,
        (in_time, "refused"),
        (Job.leased_until.is_(None), "queued"),
        else_="due",
    )
    since = func.coalesce(Job.leased_until, Job.sent_at)
    out = select(Job.run_id, state.label("state"), since.label("since")).join(Run).where(OUT).subquery()
    found = select(out.c.run_id, out.c.state, func.count().label("jobs"), func.min(out.c.since).label("since"))
    return found.add_columns(now().label("now")).group_by(out.c.run_id, out.c.state)


_STOPPED = ((Run.cancelled_at.is_not(None), "cancelled"), (Run.paused_at.is_not(None), "paused"))


class Finished(NamedTuple):
    """What a worker finished lately of a run, in images; a job of some of an image's copies counts as their share."""

    worker: str
    run_id: str
    images: float


def read_finished(session: Session) -> list[Finished]:
    """What was finished in the last LATELY seconds, by worker and run."""
    copies = (Job.last - Job.first + 1) * (Job.copies_last - Job.copies_first + 1)
    done = (
        select(Job.worker, Job.run_id, func.sum(copies).label("copies"), Run.copies.label("of"))
        .join(Run)
        .where(Job.done_at > now(-LATELY))
        .group_by(Job.worker, Job.run_id, Run.copies)
    )
    return [Finished(row.worker or "", row.run_id, float(row.copies) / row.of) for row in session.execute(done)]


def seconds_between(first: datetime, second: datetime) -> float:
    """Seconds from one moment of the database's clock to a later one; 0 if they come in the other order."""
    return max(0.0, (second - first).total_seconds())
