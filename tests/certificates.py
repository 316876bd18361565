"""Certified runs made by hand, for tests that report them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rows import claimed, failed, image_ids, jobs
from sqlalchemy import Engine

from db import store, submission
from db.copies import Part, parts_of
from db.found import Counted
from db.recipe import Recipe, make_recipe
from db.runs import RunInfo, find_run
from db.session import reading, writing
from db.store import Entry

#: How many copies have which label.
Labels = Mapping[int, int]
#: The labels of the copies of a part, by the image's position and the level.
Draw = Callable[[int, float, Part], Labels]

SIGMAS = (0.25, 0.5)
N0, N = 10, 100


def certifying(**fields: Any) -> Recipe:
    return make_recipe(
        **{"model": "efficientnet_lite0", "levels": SIGMAS, "smoother": "none", "selection": N0} | fields
    )


def certified_run(
    engine: Engine,
    labels: Sequence[int | None],
    draw: Draw,
    *,
    recipe: Recipe | None = None,
    n: int = N,
    broken: Mapping[int, str] | None = None,
    pending: int = 0,
    fingerprint: str = "c" * 64,
    name: str = "certificates",
) -> RunInfo:
    """A run over images with these labels whose copies have the drawn labels; the last ``pending`` images have none.

    Args:
        engine: where to record it.
        labels: the true classes.
        draw: says what labels the copies have.
        recipe: one that certifies.
        n: copies that estimate.
        broken: codes of failures by position.
        pending: images at the end that no worker has done.
        fingerprint: of the dataset.
        name: of the run.
    """
    recipe = recipe or certifying()
    entries = [Entry(path=f"{number}.jpg", label=label, bytes=100) for number, label in enumerate(labels)]
    run_id = recipe.run_id(fingerprint)
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="images", root="/images", fingerprint=fingerprint, found=len(labels), entries=entries
        )
        submission.record_run(
            session, run_id=run_id, dataset_id=dataset_id, name=name, recipe=recipe,
            job_size=1, copies=(recipe.selection or 0) + n,
        )  # fmt: skip
    do_jobs(engine, run_id, draw, broken=broken, images=len(labels) - pending)
    with reading(engine) as session:
        return find_run(session, run_id)


def do_jobs(
    engine: Engine, run_id: str, draw: Draw, *, broken: Mapping[int, str] | None = None, images: int | None = None
) -> None:
    """Does the open jobs of a run; only those of the first so many images, if that is given."""
    for job in jobs(engine, run_id):
        if job.done_at is not None or (images is not None and job.first >= images):
            continue
        claim = claimed(engine, job.id)
        found = image_ids(engine, claim)
        with reading(engine) as session:
            recipe = find_run(session, run_id).recipe
        counted, failures = [], []
        for position, image_id in enumerate(found, job.first):
            if code := (broken or {}).get(position):
                failures.append(failed(image_id, code))
                continue
            for part in parts_of(recipe.selection or 0, job.copies_first, job.copies_last):
                for level in recipe.levels:
                    drawn = draw(position, level, part)
                    assert sum(drawn.values()) == part.size
                    counted += [
                        Counted(image_id=image_id, level=level, part=part.first, label=label, n=number)
                        for label, number in drawn.items()
                    ]
        assert store.finish(engine, claim, [], failures, counted)


#: True classes of eight images; the last but two has no label, the last but one fails, and the last is pending.
TRUE = [1, 1, 1, 1, 1, None, 1, 1]
#: Of each image the labels of the n0 copies that select, and of the n that estimate.
DRAWN: list[tuple[Labels, Labels]] = [
    ({1: 10}, {1: 100}),  # certified, right
    ({2: 6, 1: 4}, {2: 100}),  # certified, wrong
    ({1: 10}, {1: 60, 3: 40}),  # both abstain
    ({3: 5, 1: 5}, {1: 90, 3: 10}),  # a tie: the smaller label is selected; right, with a small radius
    ({2: 6, 1: 4}, {1: 95, 2: 5}),  # the wrong label is selected, so CERTIFY abstains; PREDICT is right
    ({7: 10}, {7: 100}),  # certified, without a true class
]


def by_hand(position: int, level: float, part: Part) -> Labels:
    return DRAWN[position][0 if part.first < N0 else 1]


def example(engine: Engine, **options: Any) -> RunInfo:
    """The run whose answers tests work out by hand."""
    return certified_run(engine, TRUE, by_hand, broken={6: "truncated"}, pending=1, **options)
