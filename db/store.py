"""What is written while a run is worked on: claims, predictions, counts and failures.

A function that takes an engine is one transaction; one that takes a session is part of its caller's.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Engine,
    Select,
    and_,
    bindparam,
    case,
    delete,
    not_,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.columns import add_rows
from db.errors import Refusal, WrongUse
from db.found import Computer, Counted, Failed, Predicted
from db.recipe import Preprocessing, Recipe, make_recipe
from db.session import REVISION_OF, check_generation, check_same_generation, insert, reading, writing
from db.stopping import stopped
from db.tables import Count, Dataset, Failure, Image, Job, Prediction, Run, now


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image of a dataset, as the producer found it."""

    path: str
    label: int | None
    bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a worker needs to do a job: the images are pairs of an id and an Entry."""

    recipe: Recipe
    root: str
    images: list[tuple[int, Entry]]
    #: Which copies of each image, as in the claim.
    copies: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A job that a worker has claimed, and what it needs to do it: images ``first`` to ``last``, both included."""

    id: int
    run_id: str
    first: int
    last: int
    #: The first and the last copy of each image, both included; 0 and 0 for a vote.
    copies: tuple[int, int] = (0, 0)
    attempts: int
    #: The run's recipe as JSON. The worker makes it a Recipe, because it can refuse a job that it cannot read.
    recipe: dict[str, Any]
    root: str
    #: Those of its images that are wanted still, by id.
    images: list[tuple[int, Entry]]
    #: What the first worker of the run loaded; None if nobody has loaded anything yet.
    weights_sha256: str | None
    preprocessing: dict[str, Any] | None

    def work(self) -> Work:
        """What is to be computed.

        Raises:
            WrongUse: if this code cannot read the recipe.
        """
        return Work(recipe=make_recipe(**self.recipe), root=self.root, images=self.images, copies=self.copies)

    def began_with(self, weights_sha256: str, preprocessing: Preprocessing) -> bool:
        """Whether the first worker of the run loaded these. If not, pin_weights() says whether they can be used."""
        return (self.weights_sha256, self.preprocessing) == (weights_sha256, preprocessing.as_json())


# -- runs --------------------------------------------------------------------------------------------------------


def forget(session: Session, run_id: str) -> None:
    """Deletes a run, unless it has predictions, counts or failures."""
    rows = [select(table.run_id).where(table.run_id == run_id) for table in (Prediction, Count, Failure)]
    session.execute(delete(Run).where(Run.id == run_id, *(not_(found.exists()) for found in rows)))


#: The columns of a job that is neither on the queue nor with a worker: it is due at once.
UNSENT: dict[str, Any] = {"sent_at": None, "leased_until": None, "worker": None}

# -- work --------------------------------------------------------------------------------------------------------

# What every job asks for is built once: to build a statement takes longer than the database takes to do it.
_FREE = (
    Job.id == bindparam("job_id"),
    Job.done_at.is_(None),
    or_(Job.leased_until.is_(None), Job.leased_until <= now()),
    Job.run_id.in_(select(Run.id).where(Run.cancelled_at.is_(None), Run.paused_at.is_(None))),
    or_(Job.attempts == 0, bindparam("again", type_=Boolean())),
)
_LEASED = {
    "leased_until": now(bindparam("lease", type_=Double())), "attempts": Job.attempts + 1, "worker": bindparam("by"),
    "refused_by": None, "note": None,
}  # fmt: skip
_CLAIM = (
    update(Job)
    .where(*_FREE)
    .values(_LEASED)
    .returning(Job.run_id, Job.first, Job.last, Job.copies_first, Job.copies_last, Job.attempts)
)
_RUN = (
    select(Run.dataset_id, Run.recipe, Run.weights_sha256, Run.preprocessing, Dataset.root)
    .add_columns(REVISION_OF.scalar_subquery().label("revision"))
    .join(Dataset)
    .where(Run.id == bindparam("run_id"))
)
_SPAN = (Image.dataset_id == bindparam("dataset_id"), Image.position.between(bindparam("first"), bindparam("last")))
_FAILED = select(Failure.image_id).where(Failure.run_id == bindparam("run_id"))
_IMAGES = (
    select(Image.id, Image.path, Image.label, Image.bytes)
    .where(*_SPAN, Image.id.not_in(_FAILED))
    .order_by(Image.position)
)


def claim(engine: Engine, job_id: int, *, worker: str, lease: float, first_attempt: bool = False) -> Claim | None:
    """Claims a job for a worker for ``lease`` seconds; None if it is done, claimed, paused or cancelled.

    With ``first_attempt``, a job that was tried before and not finished is left alone, too. The attempt is counted and
    committed before the worker touches any pixel, so that a crash cannot hide it.

    Images that have a failure are left out: an earlier job, of other copies of them, found that they cannot be used.
    So are, of a certificate that stops early, the images that have stopped.

    Raises:
        Away: if the database was upgraded to another generation while this process ran.
    """
    try:
        with engine.begin() as connection:
            asked = {"job_id": job_id, "lease": lease, "by": worker, "again": not first_attempt}
            job = connection.execute(_CLAIM, asked).one_or_none()
            if job is None:
                return None
            run = connection.execute(_RUN, {"run_id": job.run_id}).one()
            check_same_generation(run.revision, engine)
            span = {"dataset_id": run.dataset_id, "first": job.first, "last": job.last}
            images = connection.execute(_wanted(job.run_id, run.recipe), {"run_id": job.run_id, **span}).all()
    except DBAPIError:
        with reading(engine) as session:
            check_generation(session)  # a newer generation may lack what the statements name
        raise
    return Claim(
        id=job_id, run_id=job.run_id, first=job.first, last=job.last, attempts=job.attempts,
        copies=(job.copies_first, job.copies_last), recipe=run.recipe, root=run.root,
        images=[(row.id, Entry(path=row.path, label=row.label, bytes=row.bytes)) for row in images],
        weights_sha256=run.weights_sha256, preprocessing=run.preprocessing,
    )  # fmt: skip


def _wanted(run_id: str, recipe: dict[str, Any]) -> Select[int, str, int | None, int | None]:
    """Asks for those images of a job that are wanted still."""
    with suppress(WrongUse):  # the worker is going to refuse a recipe that cannot be read
        if (known := make_recipe(**recipe)).stopping:
            done = stopped(run_id, known, select(Image.id).where(*_SPAN)).c.image_id
            return _IMAGES.where(Image.id.not_in(select(done)))
    return _IMAGES


def was_tried(engine: Engine, job_id: int) -> bool:
    """Whether a job can be claimed, but not as its first attempt."""
    with reading(engine) as session:
        asked = {"job_id": job_id, "again": True}
        return session.scalar(select(Job.id).where(*_FREE, Job.attempts > 0), asked) is not None


def renew(engine: Engine, claim: Claim, *, worker: str, lease: float) -> bool:
    """Extends a lease; returns False if another worker has the job now, or the run was cancelled."""
    wanted = Job.run_id.in_(select(Run.id).where(Run.cancelled_at.is_(None)))
    held = update(Job).where(Job.id == claim.id, Job.worker == worker, Job.done_at.is_(None), wanted)
    with writing(engine) as session:
        return bool(_rowcount(session.execute(held.values(leased_until=now(lease)))))


def refuse(engine: Engine, claim: Claim, *, worker: str, note: str, after: float) -> None:
    """Gives back a job that this worker cannot do: due again after ``after`` seconds; the attempt does not count."""
    # Only if it is not refused yet: this is repeated if the connection broke at the COMMIT.
    back = {"leased_until": now(after), "refused_by": worker, "note": note, "attempts": Job.attempts - 1}
    with writing(engine) as session:
        session.execute(update(Job).where(Job.id == claim.id, _held_by(worker)).values(back))


def give_up(engine: Engine, job_id: int, *, worker: str, note: str | None = None, after: float = 0) -> None:
    """Ends the lease of a worker that failed: the job is due again after ``after`` seconds; the attempt counts."""
    mine = and_(Job.id == job_id, Job.worker == worker, Job.done_at.is_(None))
    held = and_(mine, Job.refused_by.is_(None), Job.leased_until > now())
    with writing(engine) as session:
        session.execute(update(Job).where(held).values(leased_until=now(after), note=note))


def expire(engine: Engine, *, worker: str) -> list[int]:
    """Ends the leases of a worker and its processes, which are dead: their jobs are due; the attempts count.

    Returns the ids of these jobs.
    """
    held = update(Job).where(_held_by(worker), Job.leased_until > now())
    with writing(engine) as session:
        return sorted(session.scalars(held.values(leased_until=now()).returning(Job.id)))


def hand_back(engine: Engine, *, worker: str, job_id: int | None = None) -> None:
    """Ends the leases of a worker and its processes that stop for no fault of a job: the attempts do not count.

    With ``job_id`` only the lease of this job.
    """
    held = and_(_held_by(worker), Job.leased_until.is_not(None), true() if job_id is None else Job.id == job_id)
    back = {"attempts": case((Job.attempts > 0, Job.attempts - 1), else_=0), **UNSENT}
    with writing(engine) as session:
        session.execute(update(Job).where(held).values(back))


def pin_weights(engine: Engine, run_id: str, *, weights_sha256: str, preprocessing: Preprocessing) -> None:
    """Records which weights and preprocessing the first worker of a run loaded; later workers must have the same.

    Raises:
        Refusal: if the run began with other weights or other preprocessing.
    """
    mine = {"weights_sha256": weights_sha256, "preprocessing": preprocessing.as_json()}
    with writing(engine) as session:
        session.execute(update(Run).where(Run.id == run_id, Run.weights_sha256.is_(None)).values(**mine))
        first = session.execute(select(Run.weights_sha256, Run.preprocessing).where(Run.id == run_id)).one()
    for what, ours, theirs in zip(mine, mine.values(), first, strict=True):
        if ours != theirs:
            raise Refusal(
                f"this worker's {what} is {ours}, but run {run_id} began with {theirs}: give all workers the same model files"
            )


_DONE = (
    update(Job)
    .where(
        *(Job.id == bindparam("job_id"), Job.done_at.is_(None)),
        *(Job.first == bindparam("first_image"), Job.last == bindparam("last_image")),
    )
    .values(done_at=now(), leased_until=None, note=None, device=bindparam("on"), engine=bindparam("with"))
    .values(seconds=bindparam("took"))
)


def finish(
    engine: Engine,
    claim: Claim,
    predicted: Sequence[Predicted],
    failed: Sequence[Failed],
    counted: Sequence[Counted] = (),
    computer: Computer | None = None,
    *,
    seconds: float | None = None,
) -> bool:
    """Stores the results of a job, what computed them and for how long, and marks it done, in one transaction.

    Returns False, and stores nothing, if another worker was first, or if the job was split since it was claimed: a
    worker that counted as dead may come back.
    """
    device, engines = computer or (None, None)
    asked: dict[str, Any] = {"job_id": claim.id, "first_image": claim.first, "last_image": claim.last}
    asked |= {"on": device, "with": engines, "took": seconds}
    with writing(engine) as session:
        if not _rowcount(session.connection().execute(_DONE, asked)):
            return False
        for table, rows in ((Prediction, predicted), (Count, counted)):
            if rows:
                add_rows(session.connection(), table, claim.run_id, rows)
        if failed:
            why = [{"run_id": claim.run_id, **vars(row)} for row in failed]
            session.execute(insert(session, Failure).on_conflict_do_nothing(), why)
    return True


def _held_by(worker: str) -> ColumnElement[bool]:
    mine = or_(Job.worker == worker, Job.worker.startswith(f"{worker}:", autoescape=True))
    return and_(mine, Job.done_at.is_(None), Job.refused_by.is_(None))


def _rowcount(result: Any) -> int:
    return int(result.rowcount)
