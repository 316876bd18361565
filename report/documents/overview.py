"""What goes on at the moment, as a document: workers, active runs, failures."""

from db.queue import Queue
from db.workers import WorkerSeen
from report.document import Cell, Document, Number, Stacked, Step, Table, Written
from report.overview import ActiveRun, Overview, to_json

#: States of jobs that have a column for each run.
COLUMNS = ("claimed", "queued", "due", "refused")


def document(overview: Overview) -> Document:
    """The workers with what each does, the runs that they work on, and what failed in these."""
    there = sum(not worker.gone for worker in overview.workers)
    gone = len(overview.workers) - there
    count = f"{there} worker{'s' * (there != 1)}" + (f" and {gone} gone" if gone else "")
    data = to_json(overview)
    return Document(
        headline=[f"{count}, {overview.rate:.1f} images/s over the last minute", f"Jobs: {queue_line(overview.queue)}"],
        summary=Table(
            head=["worker, device", "does", "images/s", "busy", "memory", "heartbeat"],
            rows=[_worker_row(worker) for worker in overview.workers],
        ),
        also=[
            Table(
                head=["run, id", "images/s", *COLUMNS],
                rows=[_run_row(run) for run in overview.runs],
                title="Runs with jobs to do" if overview.runs else "No run has jobs to do",
            ),
            Table(
                head=["failure", "images"],
                rows=[[code, count] for code, count in overview.failures],
                title="Images of these runs without a prediction" if overview.failures else "",
            ),
        ],
        steps=[] if overview.workers else [Step("start one", "smoothvote worker")],
        data=data,
        records=[{name: value for name, value in row.items() if name != "jobs"} for row in data["workers"]],
    )


def queue_line(queue: Queue) -> str:
    """The jobs of all runs in words: how many are claimed, queued and due, and how long the oldest waits."""
    found = [f"{queue.count(state)} {state}" for state in COLUMNS if state != "refused" or queue.count(state)]
    waits = [age for age in (queue.oldest_due, queue.oldest_queued) if age is not None]
    return ", ".join(found) + (f"; the oldest has waited {ago(max(waits))}" if waits else "")


def ago(seconds: float) -> str:
    """A span of time in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def does(worker: WorkerSeen) -> Stacked:
    """What a worker does: its state, and the run and jobs that it has in hand."""
    if not worker.in_hand:
        return Stacked(worker.state, "")
    first, *more = worker.in_hand
    others = f" and {len(more)} more" if more else ""
    return Stacked(worker.state, f"{first.run}, job {first.job_id}{others}")


def hardware(worker: WorkerSeen) -> str:
    """A worker's device, with how it runs which model once one is loaded."""
    said = worker.heartbeat
    return ", ".join(part for part in (said.device, said.engine, said.model) if part)


def _worker_row(worker: WorkerSeen) -> list[Cell]:
    said = worker.heartbeat
    return [
        Stacked(said.name, hardware(worker)),
        does(worker),
        Number(worker.rate, ".1f"),
        None if worker.busy is None else Written(f"{worker.busy:.0%}"),
        None if said.memory is None else Written(f"{said.memory / 1e9:.1f} GB"),
        Written(f"{ago(worker.silent)} ago"),
    ]


def _run_row(run: ActiveRun) -> list[Cell]:
    return [Stacked(run.name, run.id), Number(run.rate, ".1f"), *(run.jobs.get(state, 0) for state in COLUMNS)]
