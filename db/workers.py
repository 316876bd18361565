"""Workers as the record knows them: each process writes a row about itself every few seconds, its heartbeat."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Engine, delete, or_, select
from sqlalchemy.orm import Session

from db.queue import LATELY, Finished, seconds_between
from db.session import insert, writing
from db.tables import OUT, Job, Run, Worker, now

#: Seconds between two heartbeats of a worker.
BEAT = 10.0
#: Seconds without a heartbeat after which a worker counts as gone: three in a row are missing.
GONE_AFTER = 3.5 * BEAT
#: Seconds after which a worker that is gone is forgotten.
FORGOTTEN_AFTER = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """What a worker process says about itself."""

    #: The name by which it claims jobs; no two processes ever have the same.
    name: str
    host: str
    pid: int
    #: As `cpu` or `cuda:1`.
    device: str
    #: How it runs the model, and which; None until it has loaded one.
    engine: str | None
    model: str | None
    #: Of this package.
    version: str
    #: `idle`, `loading` or `working`.
    stage: str
    #: Images that it finished since it started.
    images: int
    #: The share of the last minute in which its device was busy.
    busy: float
    #: Bytes of the device's memory that it holds; on a CPU, of the machine's.
    memory: int | None


def beat(engine: Engine, heartbeat: Heartbeat) -> None:
    """Writes a worker's row, or writes it anew."""
    with writing(engine) as session:
        row = asdict(heartbeat)
        written = insert(session, Worker).values(**row, started_at=now(), seen_at=now())
        session.execute(written.on_conflict_do_update(index_elements=["name"], set_=row | {"seen_at": now()}))


def leave(engine: Engine, name: str) -> None:
    """Deletes the rows of a worker that ends in order, and of its processes, whose names begin with its own."""
    mine = or_(Worker.name == name, Worker.name.startswith(f"{name}:", autoescape=True))
    with writing(engine) as session:
        session.execute(delete(Worker).where(mine))


def forget_gone(engine: Engine) -> None:
    """Deletes the rows of workers that are gone for a day."""
    with writing(engine) as session:
        session.execute(delete(Worker).where(Worker.seen_at < now(-FORGOTTEN_AFTER)))


@dataclass(frozen=True, kw_only=True)
class InHand:
    """A job that a worker has claimed."""

    job_id: int
    run_id: str
    run: str


@dataclass(frozen=True, kw_only=True)
class WorkerSeen:
    """A worker process, as its last heartbeat and its jobs tell."""

    heartbeat: Heartbeat
    started_at: datetime
    seen_at: datetime
    #: Seconds since the last heartbeat.
    silent: float
    #: The jobs that it has claimed, the oldest first.
    in_hand: list[InHand]
    #: Images a second: those of the jobs that it finished in the last minute, divided by it.
    rate: float

    @property
    def gone(self) -> bool:
        """Whether several heartbeats are missing."""
        return self.silent > GONE_AFTER

    @property
    def busy(self) -> float | None:
        """The share of the last minute in which its device was busy; None if it is gone."""
        return None if self.gone else self.heartbeat.busy

    @property
    def state(self) -> str:
        """`gone`, or what the worker said last, corrected by the jobs that it has claimed since or finished."""
        if self.gone:
            return "gone"
        if self.heartbeat.stage == "loading":
            return "loading"
        return "working" if self.in_hand else "idle"


def read_workers(session: Session, finished: list[Finished]) -> list[WorkerSeen]:
    """All workers whose last heartbeat is less than a day old, by name; those that are gone come last.

    Args:
        session: a reading one.
        finished: as `db.queue.read_finished` gives it.
    """
    in_hand = _in_hand(session)
    lately: dict[str, float] = {}
    for one in finished:
        lately[one.worker] = lately.get(one.worker, 0) + one.images
    rows = session.execute(select(Worker, now().label("now")).where(Worker.seen_at > now(-FORGOTTEN_AFTER)))
    found = []
    for row, moment in rows:
        fields = {name: getattr(row, name) for name in Heartbeat.__dataclass_fields__}
        found.append(
            WorkerSeen(
                heartbeat=Heartbeat(**fields),
                started_at=row.started_at,
                seen_at=row.seen_at,
                silent=seconds_between(row.seen_at, moment),
                in_hand=in_hand.get(row.name, []),
                rate=lately.get(row.name, 0) / LATELY,
            )
        )
    return sorted(found, key=lambda worker: (worker.gone, worker.heartbeat.name))


def _in_hand(session: Session) -> dict[str, list[InHand]]:
    claimed = (
        select(Job.id, Job.run_id, Job.worker, Run.name)
        .join(Run)
        .where(OUT, Job.leased_until > now(), Job.refused_by.is_(None))
        .order_by(Job.id)
    )
    found: dict[str, list[InHand]] = {}
    for row in session.execute(claimed):
        found.setdefault(row.worker, []).append(InHand(job_id=row.id, run_id=row.run_id, run=row.name))
    return found
