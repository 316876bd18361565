"""What goes on at the moment: the workers, the queue, the runs that are worked on, and what failed in them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.queue import LATELY, STATES, Queue, read_finished, read_queue
from db.tables import Failure, Run
from db.workers import WorkerSeen, read_workers


@dataclass(frozen=True, kw_only=True)
class ActiveRun:
    """A run that has jobs to do, or had some finished in the last minute."""

    id: str
    name: str
    #: Its jobs that are not done, by state.
    jobs: dict[str, int]
    #: Images a second, over the last minute.
    rate: float


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Workers, queue, active runs, and their failures by code, the most frequent first."""

    workers: list[WorkerSeen]
    queue: Queue
    runs: list[ActiveRun]
    failures: list[tuple[str, int]]

    @property
    def rate(self) -> float:
        """Images a second of all workers, over the last minute."""
        return sum(run.rate for run in self.runs)


def read_overview(session: Session) -> Overview:
    """Reads what goes on, at one moment."""
    queue, finished = read_queue(session), read_finished(session)
    rates: dict[str, float] = {}
    for one in finished:
        rates[one.run_id] = rates.get(one.run_id, 0) + one.images / LATELY
    active = {run_id for run_id, jobs in queue.jobs.items() if set(jobs) - {"paused", "cancelled"}} | set(rates)
    names = session.execute(select(Run.id, Run.name).where(Run.id.in_(active)).order_by(Run.submitted_at.desc()))
    return Overview(
        workers=read_workers(session, finished),
        queue=queue,
        runs=[
            ActiveRun(id=run_id, name=name, jobs=queue.jobs.get(run_id, {}), rate=rates.get(run_id, 0.0))
            for run_id, name in names
        ],
        failures=_failures(session, active),
    )


def _failures(session: Session, run_ids: set[str]) -> list[tuple[str, int]]:
    found = select(Failure.code, func.count()).where(Failure.run_id.in_(run_ids)).group_by(Failure.code)
    return [(code, count) for code, count in session.execute(found.order_by(func.count().desc(), Failure.code))]


def to_json(overview: Overview) -> dict[str, Any]:
    """An overview as plain data. Seconds are of the database's clock."""
    queue = overview.queue
    return {
        "images_per_second": round(overview.rate, 3),
        "queue": {state: queue.count(state) for state in STATES}
        | {"oldest_due_seconds": queue.oldest_due, "oldest_queued_seconds": queue.oldest_queued},
        "workers": [_worker(worker) for worker in overview.workers],
        "runs": [
            {"id": run.id, "name": run.name, "images_per_second": round(run.rate, 3)}
            | {state: run.jobs.get(state, 0) for state in STATES}
            for run in overview.runs
        ],
        "failures": dict(overview.failures),
    }


def _worker(worker: WorkerSeen) -> dict[str, Any]:
    said = worker.heartbeat
    return {
        "name": said.name,
        "host": said.host,
        "pid": said.pid,
        "device": said.device,
        "engine": said.engine,
        "model": said.model,
        "version": said.version,
        "state": worker.state,
        "jobs": [{"id": job.job_id, "run": job.run_id, "run_name": job.run} for job in worker.in_hand],
        "images_per_second": round(worker.rate, 3),
        "images": said.images,
        "busy": None if worker.busy is None else round(worker.busy, 4),
        "memory_bytes": said.memory,
        "started_at": worker.started_at.isoformat(),
        "seen_at": worker.seen_at.isoformat(),
        "silent_seconds": round(worker.silent, 1),
    }
