"""Finding a run by the name that a person gives, and its progress."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from db.axis import NOISE, Axis
from db.errors import WrongUse
from db.outcome import count_of
from db.recipe import Recipe, make_recipe
from db.tables import SKIPPED, Dataset, Failure, Image, Job, Run


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """A run and its dataset, without its predictions."""

    id: str
    name: str
    recipe: Recipe
    #: What the levels measure.
    axis: Axis
    dataset: str
    dataset_id: int
    root: str
    #: Number of images of the run.
    expected: int
    #: Number of copies of each image: 1 for a vote, n0 + n for a certificate.
    copies: int
    #: Number of images in the dataset, before --limit.
    available: int
    weights_sha256: str | None
    preprocessing: dict[str, Any] | None
    #: First and last submission; runs are listed by the last.
    created_at: datetime
    submitted_at: datetime
    cancelled_at: datetime | None
    paused_at: datetime | None
    priority: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The progress of a run, counted from its jobs and failures."""

    #: Images of the run.
    expected: int
    #: Images that are done; of a certificate, copies that are done, divided by the copies of an image.
    done: int
    #: Copies of each image: 1 for a vote, n0 + n for a certificate.
    copies: int
    #: Copies of all images that are done.
    done_copies: int
    failed: int
    skipped: int
    cancelled: bool
    paused: bool
    #: The newest reason why a worker gave back a job that is still to be done, and that worker.
    note: str | None
    refused_by: str | None

    @property
    def complete(self) -> bool:
        """Whether every image has its predictions or its failure."""
        return self.done == self.expected

    @property
    def word(self) -> str:
        """The state of the run in one word."""
        if self.complete:
            return "complete"
        return "cancelled" if self.cancelled else "paused" if self.paused else "open"


def find_run(session: Session, name: str) -> RunInfo:
    """The run with this id, name or unique prefix of an id; ``latest`` is the one that was submitted last.

    Raises:
        WrongUse: if there is none, or if the prefix fits several runs.
    """
    newest = _runs().order_by(Run.submitted_at.desc(), Run.created_at.desc())
    if name == "latest":
        row = session.execute(newest.limit(1)).first()
        if row is None:
            raise WrongUse("no run is recorded yet: begin with `smoothvote run IMAGES`")
        return _info(row)
    for exactly in (Run.id == name, Run.name == name):  # in this order: the name of one run may be the id of another
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
    """Recorded runs, the one that was submitted last first.

    Args:
        session: a reading one.
        dataset_id: only runs over this dataset; None for all.
        limit: the most runs to read; None for all.
        offset: how many of the newest to leave out.
    """
    wanted = _runs() if dataset_id is None else _runs().where(Run.dataset_id == dataset_id)
    newest = wanted.order_by(Run.submitted_at.desc(), Run.created_at.desc(), Run.id)
    return [_info(row) for row in session.execute(newest.limit(limit).offset(offset))]


def count_runs(session: Session) -> int:
    """The number of recorded runs."""
    return session.scalars(select(func.count()).select_from(Run)).one()


def has_labels(session: Session, run: RunInfo) -> bool:
    """Whether any image of the run's dataset has a label."""
    labelled = select(Image.id).where(Image.dataset_id == run.dataset_id, Image.label.is_not(None))
    return session.scalar(labelled.limit(1)) is not None


def progress(session: Session, run: RunInfo) -> Progress:
    """The progress of a run. It counts jobs and failures, and is cheap however many predictions there are."""
    of_job = (Job.last - Job.first + 1) * (Job.copies_last - Job.copies_first + 1)
    done = select(func.coalesce(func.sum(of_job), 0)).where(Job.run_id == run.id, Job.done_at.is_not(None))
    skipped = count_of(Failure.code.in_(SKIPPED))
    failures = select(func.count() - skipped, skipped).where(Failure.run_id == run.id)
    notes = select(Job.note, Job.refused_by).where(
        Job.run_id == run.id, Job.done_at.is_(None), Job.refused_by.is_not(None)
    )
    note, worker = session.execute(notes.order_by(Job.leased_until.desc()).limit(1)).first() or (None, None)
    failed_images, skipped_images = session.execute(failures).one()
    done_copies = int(session.scalars(done).one())
    # Read again, because a run gets more copies while somebody watches it.
    told = select(Run.copies, Run.cancelled_at, Run.paused_at).where(Run.id == run.id)
    copies, cancelled_at, paused_at = session.execute(told).one()
    return Progress(
        expected=run.expected,
        done=done_copies // copies,
        copies=copies,
        done_copies=done_copies,
        failed=failed_images,
        skipped=skipped_images,
        cancelled=cancelled_at is not None,
        paused=paused_at is not None,
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
        # A later version may have recorded more of an axis than this one knows.
        axis=Axis(**{name: run.axis[name] for name in Axis._fields if name in run.axis}) if run.axis else NOISE,
        dataset=dataset.name,
        dataset_id=dataset.id,
        root=dataset.root,
        expected=dataset.size,
        copies=run.copies,
        available=dataset.found,
        weights_sha256=run.weights_sha256,
        preprocessing=run.preprocessing,
        created_at=run.created_at,
        submitted_at=run.submitted_at,
        cancelled_at=run.cancelled_at,
        paused_at=run.paused_at,
        priority=run.priority,
    )
