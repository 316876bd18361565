"""The dispatcher's metrics for Prometheus: counts of the record's rows, read at a scrape."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.errors import Away
from db.outage import reason
from db.queue import LATELY, STATES, Queue, read_finished, read_queue
from db.session import REVISION_OF, reading
from db.tables import Failure, Job, Run
from db.workers import read_workers
from producer.broker import Broker

#: Seconds for which counts are told again, so that many scrapes cost one look.
KEPT = 5.0


class Counts(NamedTuple):
    """What the record says."""

    queue: Queue
    done: int
    runs: dict[str, int]
    workers: Counter[str]
    failures: dict[str, int]
    #: Images a second, over the last minute.
    rate: float


def read_counts(session: Session) -> Counts:
    """Counts jobs, runs, workers and failures at one moment."""
    queue, finished = read_queue(session), read_finished(session)
    done = session.scalars(select(func.count()).select_from(Job).where(Job.done_at.is_not(None))).one()
    runs = Counter(dict.fromkeys(("open", "paused", "cancelled", "complete"), 0))
    for states in queue.jobs.values():
        runs["cancelled" if "cancelled" in states else "paused" if "paused" in states else "open"] += 1
    runs["complete"] = session.scalars(select(func.count()).select_from(Run)).one() - len(queue.jobs)
    workers = Counter(dict.fromkeys(("idle", "loading", "working", "gone"), 0))
    workers.update(worker.state for worker in read_workers(session, finished))
    failures = select(Failure.code, func.count().label("images")).group_by(Failure.code)
    return Counts(
        queue=queue,
        done=done,
        runs=runs,
        workers=workers,
        failures={row.code: row.images for row in session.execute(failures)},
        rate=sum(one.images for one in finished) / LATELY,
    )


class DispatcherMetrics(Collector):
    """Tells what the record says. Nothing is counted along, so nothing can be counted wrongly.

    While the database is away, only `smoothvote_record_up` is told, as 0.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._counts: Counts | None = None
        self._read_at = float("-inf")

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus's client for a scrape: docs/reference/metrics.md has a line for each name."""
        counts = self._read()
        yield GaugeMetricFamily("smoothvote_record_up", "Whether the database answers.", value=int(counts is not None))
        if counts is None:
            return
        queue = counts.queue
        jobs = {state: queue.count(state) for state in STATES} | {"done": counts.done}
        yield _by("smoothvote_jobs", "Jobs of all runs, by state.", "state", jobs)
        wanted = jobs["due"] + jobs["queued"] + jobs["claimed"]
        yield GaugeMetricFamily("smoothvote_open_jobs", "Jobs that are due, queued or claimed.", value=wanted)
        for state, age in (("due", queue.oldest_due), ("queued", queue.oldest_queued)):
            about = f"Seconds for which the oldest {state} job is {state}; 0 without one."
            yield GaugeMetricFamily(f"smoothvote_oldest_{state}_job_seconds", about, value=age or 0)
        yield _by("smoothvote_runs", "Runs, by state.", "state", counts.runs)
        yield _by("smoothvote_workers", "Worker processes, by state.", "state", counts.workers)
        yield _by("smoothvote_failures", "Images without a prediction, by code.", "code", counts.failures)
        yield GaugeMetricFamily("smoothvote_images_per_second", "Over the last minute.", value=counts.rate)

    def _read(self) -> Counts | None:
        with self._lock:
            if time.monotonic() - self._read_at > KEPT:
                try:
                    with reading(self._engine) as session:
                        self._counts = read_counts(session)
                except SQLAlchemyError:
                    self._counts = None
                self._read_at = time.monotonic()
            return self._counts


def why_not_ready(engine: Engine, broker: Broker) -> str | None:
    """Why a dispatcher cannot do its work: the database or the queue is away. None: it can."""
    try:
        with reading(engine) as session:
            session.scalar(REVISION_OF)
        broker.queued()
    except (SQLAlchemyError, Away) as error:
        return reason(error)
    return None


def _by(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
