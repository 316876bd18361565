"""What a submission writes: a dataset with its images, and a run with its jobs."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.axis import NOISE, Axis
from db.copies import JOB_VIEWS, steps_of
from db.recipe import Recipe
from db.session import insert
from db.store import Entry
from db.tables import Dataset, Run, now

#: The columns of an image that a submission knows, and how many images one statement adds to SQLite.
COLUMNS, IMAGES_AT_ONCE = "dataset_id, position, path, label, bytes", 10_000
#: Adds jobs of so many images each, for the same copies of all images.
JOBS = text("""
INSERT INTO jobs (run_id, first, last, copies_first, copies_last)
WITH RECURSIVE starts (first) AS (
    SELECT 0 WHERE :images > 0 UNION ALL SELECT first + :size FROM starts WHERE first + :size < :images
)
SELECT :run_id, first, CASE WHEN first + :size < :images THEN first + :size ELSE :images END - 1,
       :copies_first, :copies_last
FROM starts ORDER BY first
""")


def record_dataset(
    session: Session,
    *,
    name: str,
    root: str,
    fingerprint: str,
    found: int,
    entries: Iterable[Entry],
) -> int:
    """Records a dataset, unless its fingerprint is known already; returns its id.

    A known dataset at another root has moved: from now on workers read it there.

    Args:
        session: a writing one.
        name: what the dataset is called.
        root: the folder or URL at which workers find the images.
        fingerprint: sha256 over what makes it this dataset.
        found: how many images there were before --limit.
        entries: its images, in order. They are iterated over only if the dataset is new.
    """
    postgresql = session.get_bind().dialect.name == "postgresql"
    if postgresql:  # another producer may be recording the same dataset: wait for it
        session.execute(text("SET LOCAL lock_timeout = 0"))
    row = {"name": name, "root": root, "fingerprint": fingerprint, "size": 0, "found": found}
    add = insert(session, Dataset).on_conflict_do_nothing().returning(Dataset.id)
    moved = update(Dataset).where(Dataset.fingerprint == fingerprint).values(root=root).returning(Dataset.id)
    while (added := session.execute(add, row).scalar()) is None:
        if (known := session.execute(moved).scalar()) is not None:
            return int(known)
        # `rm` deleted it while this transaction waited for its row: now it is new.
    rows = ((added, position, one.path, one.label, one.bytes) for position, one in enumerate(entries))
    size = (_copy_images if postgresql else _insert_images)(session, rows)
    session.execute(update(Dataset).where(Dataset.id == added).values(size=size))
    return int(added)


def record_run(
    session: Session,
    *,
    run_id: str,
    dataset_id: int,
    name: str,
    recipe: Recipe,
    job_size: int | None,
    job_views: int = JOB_VIEWS,
    copies: int = 1,
    axis: Axis = NOISE,
    priority: int | None = None,
) -> bool:
    """Records a run and its jobs; returns False if the run is known. A run that was cancelled or paused goes on.

    Args:
        session: a writing one.
        run_id: the recipe's, over this dataset.
        dataset_id: the dataset.
        name: what the run is called from now on.
        recipe: what to measure with.
        job_size: images per job; None, for a certificate only: as many as make ``job_views``.
        job_views: views per job, about.
        copies: copies of each image: 1 for a vote, n0 + n for a certificate. If a known run has fewer, jobs for the
            missing ones are added; if it has more, it keeps them.
        axis: what the recipe's levels measure.
        priority: runs with a higher one are served first; None: 0, and a known run keeps its own.
    """
    run = {"id": run_id, "dataset_id": dataset_id, "name": name, "recipe": recipe.content(), "axis": axis._asdict()}
    run |= {"copies": copies, "priority": priority or 0}
    new = session.execute(insert(session, Run).on_conflict_do_nothing().returning(Run.id), run).scalar() is not None
    known = 0
    if not new:
        # With the row locked, no other producer adds the same copies.
        known = session.scalars(select(Run.copies).where(Run.id == run_id).with_for_update()).one()
        # The same recipe, but the file of its checkpoint may have moved.
        again = {"name": name, "recipe": recipe.content(), "submitted_at": now(), "cancelled_at": None}
        again |= {"paused_at": None} | ({} if priority is None else {"priority": priority})
        session.execute(update(Run).where(Run.id == run_id).values(**again, copies=max(copies, known)))
    images = session.scalars(select(Dataset.size).where(Dataset.id == dataset_id)).one()
    # A vote is one copy, of no part.
    steps = steps_of(
        selection=recipe.selection or 1,
        first=known,
        last=copies - 1,
        levels=len(recipe.levels),
        job_size=job_size,
        job_views=job_views,
        looks=recipe.stopping.looks if recipe.stopping else (),
    )
    for part, size in steps:
        of = {"copies_first": part.first, "copies_last": part.last}
        session.execute(JOBS, {"run_id": run_id, "images": images, "size": size, **of})
    return new


def _copy_images(session: Session, rows: Iterable[tuple[object, ...]]) -> int:
    """Adds images to PostgreSQL, and returns how many."""
    import psycopg  # here, because SQLite needs none of it

    copy = f"COPY images ({COLUMNS}) FROM STDIN"
    try:
        cursor: Any = session.connection().connection.cursor()
        with cursor:
            with cursor.copy(copy) as opened:
                for row in rows:
                    opened.write_row(row)
            return int(cursor.rowcount)
    except psycopg.Error as error:  # as SQLAlchemy raises it of a statement
        raise OperationalError(copy, None, error) from error


def _insert_images(session: Session, rows: Iterator[tuple[object, ...]]) -> int:
    """Adds images to SQLite, and returns how many."""
    count, statement = 0, f"INSERT INTO images ({COLUMNS}) VALUES (?, ?, ?, ?, ?)"
    while some := list(islice(rows, IMAGES_AT_ONCE)):
        session.connection().exec_driver_sql(statement, some)
        count += len(some)
    return count
