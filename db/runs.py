"""Runs as people name them, and how far each has come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, case, func, select
from sqlalchemy.orm import Session

from db.axis import NOISE, Axis
from db.errors import WrongUse
from db.recipe import Recipe, make_recipe
from db.tables import SKIPPED, Dataset, Failure, Job, Run


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run, without what was found."""

    id: str
    name: str
    recipe: Recipe
    #: What its levels measure.
    axis: Axis
    dataset: str
    dataset_id: int
    root: str
    expected: int
    #: Images the dataset had before --limit.
    available: int
    weights_sha256: str | None
    preprocessing: dict[str, Any] | None
    created_at: datetime
    cancelled_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come, counted in images from the rows of its jobs and failures."""

    expected: int
    done: int
    failed: int
    skipped: int
    cancelled: bool
    #: Why a worker gave a job back that is still to be done: the newest reason.
    note: str | None
    #: Which worker.
    refused_by: str | None

    @property
    def complete(self) -> bool:
        """Whether every image has its predictions or its failure."""
        return self.done == self.expected


def find_run(session: Session, name: str) -> RunInfo:
    """The run with this id, unique prefix of an id, or name; or the latest.

    Raises:
        WrongUse: if there is none, or an id's prefix fits several.
    """
    newest = _runs().order_by(Run.submitted_at.desc(), Run.created_at.desc())
    if name == "latest":
        row = session.execute(newest.limit(1)).first()
        if row is None:
            raise WrongUse("no run is recorded yet: begin with `smoothvote run IMAGES`")
        return _info(row)
    for exactly in (Run.id == name, Run.name == name):  # a run may be named as another's id is
        if found := session.execute(newest.where(exactly).limit(1)).first():
            return _info(found)
    rows = session.execute(newest.where(Run.id.startswith(name, autoescape=True)).limit(2)).all() if name else []
    if len(rows) != 1:
        why = (
            "fits several runs; give more of the id" if rows else "is no run's id or name; `smoothvote runs` lists them"
        )
        raise WrongUse(f"{name!r} {why}")
    return _info(rows[0])


def list_runs(
    session: Session, *, dataset_id: int | None = None, limit: int | None = None, offset: int = 0
) -> list[RunInfo]:
    """Runs, the newest first.

    Args:
        session: a reading one.
        dataset_id: runs over this dataset only.
        limit: so many at most.
        offset: leave out so many of the newest.
    """
    wanted = _runs() if dataset_id is None else _runs().where(Run.dataset_id == dataset_id)
    newest = wanted.order_by(Run.submitted_at.desc(), Run.created_at.desc(), Run.id)
    return [_info(row) for row in session.execute(newest.limit(limit).offset(offset))]


def count_runs(session: Session) -> int:
    """How many runs are recorded."""
    return session.scalars(select(func.count()).select_from(Run)).one()


def progress(session: Session, run: RunInfo) -> Progress:
    """How far a run has come. Cheap however many predictions there are: it counts jobs."""
    done = select(func.coalesce(func.sum(Job.last - Job.first + 1), 0)).where(
        Job.run_id == run.id, Job.done_at.is_not(None)
    )
    skip = case((Failure.code.in_(SKIPPED), 1), else_=0)
    failures = select(func.count() - func.coalesce(func.sum(skip), 0), func.coalesce(func.sum(skip), 0)).where(
        Failure.run_id == run.id
    )
    notes = select(Job.note, Job.refused_by).where(
        Job.run_id == run.id, Job.done_at.is_(None), Job.refused_by.is_not(None)
    )
    note, worker = session.execute(notes.order_by(Job.lease_until.desc()).limit(1)).first() or (None, None)
    failed, skipped = session.execute(failures).one()
    return Progress(
        expected=run.expected,
        done=session.scalars(done).one(),
        failed=failed,
        skipped=skipped,
        cancelled=session.scalars(select(Run.cancelled_at).where(Run.id == run.id)).one() is not None,
        note=note,
        refused_by=worker,
    )


def _runs() -> Select[Run, Dataset]:
    return select(Run, Dataset).join(Dataset, Dataset.id == Run.dataset_id)


def _info(row: Row[Run, Dataset]) -> RunInfo:
    run, dataset = row
    return RunInfo(
        id=run.id,
        name=run.name,
        recipe=make_recipe(**run.recipe),
        axis=Axis(**run.axis) if run.axis else NOISE,
        dataset=dataset.name,
        dataset_id=dataset.id,
        root=dataset.root,
        expected=dataset.size,
        available=dataset.found,
        weights_sha256=run.weights_sha256,
        preprocessing=run.preprocessing,
        created_at=run.created_at,
        cancelled_at=run.cancelled_at,
    )
