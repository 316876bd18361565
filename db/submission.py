"""What a submission writes: a dataset with its images, and a run with its jobs."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.axis import NOISE, Axis
from db.copies import shares_of
from db.recipe import Recipe
from db.session import insert
from db.store import Entry
from db.tables import Dataset, Image, Job, Run, now

#: Jobs that one statement adds: a run of many copies may have millions.
JOBS_AT_ONCE = 10_000


def record_dataset(
    session: Session, *, name: str, root: str, fingerprint: str, found: int, entries: Sequence[Entry]
) -> int:
    """Records a dataset, unless its fingerprint is known already; returns its id.

    A known dataset at another root has moved: from now on workers read it there.
    """
    row = {"name": name, "root": root, "fingerprint": fingerprint, "size": len(entries), "found": found}
    added = session.execute(insert(session, Dataset).on_conflict_do_nothing().returning(Dataset.id), row).scalar()
    if added is None:
        moved = update(Dataset).where(Dataset.fingerprint == fingerprint).values(root=root).returning(Dataset.id)
        return int(session.execute(moved).scalar_one())
    images = [{"dataset_id": added, "position": position, **asdict(entry)} for position, entry in enumerate(entries)]
    session.execute(insert(session, Image), images)
    return int(added)


def record_run(
    session: Session,
    *,
    run_id: str,
    dataset_id: int,
    name: str,
    recipe: Recipe,
    job_size: int | None,
    copies: int = 1,
    axis: Axis = NOISE,
) -> bool:
    """Records a run and its jobs; returns False if the run is known. Submitting a cancelled run resumes it.

    Args:
        session: a writing one.
        run_id: the recipe's, over this dataset.
        dataset_id: the dataset.
        name: what the run is called from now on.
        recipe: what to measure with.
        job_size: images per job; None, for a certificate only: as its number of copies suggests (db/copies.py).
        copies: copies of each image: 1 for a vote, n0 + n for a certificate. If a known run has fewer, jobs for the
            missing ones are added; if it has more, it keeps them.
        axis: what the recipe's levels measure.
    """
    run = {"id": run_id, "dataset_id": dataset_id, "name": name, "recipe": recipe.content(), "axis": axis._asdict()}
    run["copies"] = copies
    new = session.execute(insert(session, Run).on_conflict_do_nothing().returning(Run.id), run).scalar() is not None
    known = 0
    if not new:
        # With the row locked, no other producer adds the same copies.
        known = session.scalars(select(Run.copies).where(Run.id == run_id).with_for_update()).one()
        # The same recipe, but the file of its checkpoint may have moved.
        again = {"name": name, "recipe": recipe.content(), "submitted_at": now(), "cancelled_at": None}
        session.execute(update(Run).where(Run.id == run_id).values(**again, copies=max(copies, known)))
    images = session.scalars(select(Dataset.size).where(Dataset.id == dataset_id)).one()
    # A vote is one copy, of no part.
    cut = shares_of(
        images,
        selection=recipe.selection or 1,
        first=known,
        last=copies - 1,
        levels=len(recipe.levels),
        job_size=job_size,
        looks=recipe.stopping.looks if recipe.stopping else (),
    )
    while some := list(islice(cut, JOBS_AT_ONCE)):
        session.execute(insert(session, Job), [{"run_id": run_id, **share._asdict()} for share in some])
    return new
