"""Records made by hand, for tests that read or write them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from db import due, store, submission
from db.axis import NOISE, Axis
from db.found import Failed, Predicted
from db.recipe import Preprocessing, Recipe, make_recipe
from db.runs import RunInfo, find_run
from db.session import reading, writing
from db.store import Claim, Entry
from db.tables import Base, Image, Job
from worker.vote import majority

LEVELS = (0.0, 0.25)
RECIPE = make_recipe(model="efficientnet_lite0", levels=LEVELS)
#: A certificate of two noise levels, whose first ten copies select the label.
CERTIFICATE = make_recipe(model="efficientnet_lite0", levels=(0.25, 0.5), smoother="none", selection=10)
PREPROCESSING = Preprocessing(256, 224, "bilinear", True, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def record(
    engine: Engine,
    labels: Sequence[int | None],
    *,
    recipe: Recipe = RECIPE,
    job_size: int | None = 4,
    copies: int = 1,
    name: str = "a run",
    fingerprint: str = "f" * 64,
    axis: Axis = NOISE,
) -> str:
    """A run over images with these labels; gives its id."""
    entries = [Entry(path=f"{number}.jpg", label=label, bytes=100) for number, label in enumerate(labels)]
    run_id = recipe.run_id(fingerprint)
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="images", root="/images", fingerprint=fingerprint, found=len(labels), entries=entries
        )
        submission.record_run(
            session,
            run_id=run_id,
            dataset_id=dataset_id,
            name=name,
            recipe=recipe,
            job_size=job_size,
            copies=copies,
            axis=axis,
        )
    return run_id


def take_due(
    engine: Engine,
    *,
    run_id: str | None = None,
    room: int = 100,
    lost_after: float = 3600,
    oldest: int | None = None,
) -> list[int]:
    run_ids = [run_id] if run_id else None
    with writing(engine) as session:
        due.reclaim(session, run_ids=run_ids, lost_after=lost_after, oldest=oldest)
        return due.take_due(session, run_ids=run_ids, room=room)


def jobs(engine: Engine, run_id: str) -> list[Job]:
    with reading(engine) as session:
        return list(session.scalars(select(Job).where(Job.run_id == run_id).order_by(Job.copies_first, Job.first)))


def claimed(engine: Engine, job_id: int, *, worker: str = "w", lease: float = 60) -> Claim:
    """A claim that must succeed."""
    claim = store.claim(engine, job_id, worker=worker, lease=lease)
    assert claim
    return claim


def count(engine: Engine, table: type[Base]) -> int:
    with reading(engine) as session:
        return session.scalars(select(func.count()).select_from(table)).one()


def image_ids(engine: Engine, claim: Claim) -> list[int]:
    return [image_id for image_id, _ in claim.images]


def all_image_ids(session: Session) -> list[int]:
    return list(session.scalars(select(Image.id).order_by(Image.position)))


def predicted(image_id: int, level: float, ns: int, ss: int, ds: int, voted: int | None) -> Predicted:
    return Predicted(
        image_id=image_id,
        level=level,
        label_ns=ns,
        confidence_ns=0.5,
        label_ss=ss,
        confidence_ss=0.25,
        label_ds=ds,
        confidence_ds=0.75,
        label_maj=voted,
    )


def failed(image_id: int, code: str = "truncated") -> Failed:
    return Failed(image_id=image_id, code=code, message="why")


def finish_all(engine: Engine, run_id: str, *, worker: str = "w", only: int | None = None) -> None:
    """Does every open job of a run, or the first few only, predicting class 1 for everything."""
    for job in [job for job in jobs(engine, run_id) if job.done_at is None][:only]:
        claim = claimed(engine, job.id, worker=worker)
        rows = [predicted(image, level, 1, 1, 1, 1) for image in image_ids(engine, claim) for level in LEVELS]
        assert store.finish(engine, claim, rows, [])


#: One image at one level: label and confidence of ns, then of ss and ds.
Views = tuple[int, float, int, float, int, float]

#: Four images in the order of ns's confidence: ns right and accepted; ns wrong and accepted; ns right and rejected; ns
#: wrong and saved by the other two views. Each is its true label, no failure, and its views at each of LEVELS.
BY_HAND: list[tuple[Any, ...]] = [
    (1, None, (1, 0.9, 1, 0.5, 1, 0.7), (1, 0.9, 1, 0.5, 1, 0.7)),
    (1, None, (2, 0.8, 2, 0.5, 0, 0.7), (1, 0.9, 1, 0.5, 1, 0.7)),
    (1, None, (1, 0.7, 2, 0.5, 0, 0.7), (1, 0.9, 1, 0.5, 1, 0.7)),
    (1, None, (0, 0.6, 1, 0.5, 1, 0.7), (1, 0.9, 1, 0.5, 1, 0.7)),
]


def predict(image_id: int, level: float, views: Views) -> Predicted:
    ns, sure_ns, ss, sure_ss, ds, sure_ds = views
    return Predicted(
        image_id=image_id, level=level, label_ns=ns, confidence_ns=sure_ns, label_ss=ss, confidence_ss=sure_ss,
        label_ds=ds, confidence_ds=sure_ds, label_maj=majority(ns, ss, ds),
    )  # fmt: skip


def make_run(engine: Engine, found: Sequence[tuple[Any, ...]], fingerprint: str, *, pending: int = 0) -> RunInfo:
    """A run over images with these labels, codes of failures and views at each of LEVELS; ``pending`` more are open."""
    labels = [label for label, *_ in found] + [1] * pending
    run_id = record(engine, labels, fingerprint=fingerprint, job_size=max(1, len(found)))
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    ids = image_ids(engine, claim)
    rows: list[Predicted] = []
    failures: list[Failed] = []
    for image_id, (_, code, *levels) in zip(ids, found, strict=True):
        if code:
            failures.append(failed(image_id, code))
        else:
            rows += [predict(image_id, level, views) for level, views in zip(LEVELS, levels, strict=True)]
    assert store.finish(engine, claim, rows, failures)
    with reading(engine) as session:
        return find_run(session, run_id)
