"""Jobs of some seconds of work, by how fast runs like it were computed."""

from pathlib import Path
from typing import Any

import pytest
from rows import CERTIFICATE, LEVELS, RECIPE, claimed, jobs, record
from sqlalchemy import Engine

from cli.recorded import cut_as_recorded
from db import store
from db.rate import views_per_second
from db.recipe import Recipe
from db.session import reading
from db.settings import Settings
from db.store import Entry
from producer.dataset import Dataset
from producer.job_size import AS_MEASURED, JobSize
from producer.submit import submit

VIEWS = 3 * len(LEVELS)


def work(engine: Engine, run_id: str, *seconds: float | None) -> None:
    """Ends the first jobs of a run, each after so many seconds."""
    for job, took in zip(jobs(engine, run_id), seconds, strict=False):
        assert store.finish(engine, claimed(engine, job.id), [], [], seconds=took)


def rate(engine: Engine, recipe: Recipe) -> float | None:
    with reading(engine) as session:
        return views_per_second(session, recipe)


def cut(engine: Engine, recipe: Recipe, size: JobSize = AS_MEASURED) -> Any:
    with reading(engine) as session:
        return tuple(size.cut(session, recipe).values())


def like(**other: Any) -> Recipe:
    return RECIPE.model_copy(update=other)


def test_nothing_is_known_of_the_first_run(engine: Engine) -> None:
    record(engine, [1] * 8)
    assert rate(engine, RECIPE) is None
    assert cut(engine, RECIPE) == (64, 1000)
    assert cut(engine, RECIPE, JobSize(usual=8)) == (8, 1000)


def test_the_rate_is_that_of_all_jobs_whose_time_is_known(engine: Engine) -> None:
    run_id = record(engine, [1] * 12, job_size=4)
    work(engine, run_id, 0.5, None, 1.5)
    assert rate(engine, RECIPE) == 8 * VIEWS / 2


def test_a_job_has_five_seconds_of_work(engine: Engine) -> None:
    work(engine, record(engine, [1] * 8, job_size=8), 2.0)  # four images a second
    assert cut(engine, RECIPE)[0] == 20
    assert cut(engine, like(levels=(0.0,)))[0] == 20 * len(LEVELS)
    assert cut(engine, RECIPE, JobSize(given=7))[0] == 7


@pytest.mark.parametrize(("seconds", "images"), [(0.001, 1000), (80.0, 1)])
def test_a_job_has_one_image_at_least_and_a_thousand_at_most(engine: Engine, seconds: float, images: int) -> None:
    work(engine, record(engine, [1] * 8, job_size=8), seconds)
    assert cut(engine, RECIPE)[0] == images


@pytest.mark.parametrize(
    ("other", "alike"),
    [
        ({"seed": 7}, True),
        ({"levels": (0.1, 0.2, 0.3)}, True),
        ({"kernel_size": 9}, False),  # a larger one takes a median, say, much longer
        ({"model": "torchvision/resnet50@IMAGENET1K_V1"}, False),
        ({"perturbation": "speckle"}, False),
        ({"smoother": "median"}, False),
        ({"precision": "bf16"}, False),
        ({"selection": 10}, False),
    ],
    ids=str,
)
def test_only_runs_that_compute_alike_tell_the_rate(engine: Engine, other: dict[str, Any], alike: bool) -> None:
    work(engine, record(engine, [1] * 8, job_size=8), 2.0)
    assert (rate(engine, like(**other)) is not None) == alike


def test_the_newest_run_like_it_tells_the_rate(engine: Engine) -> None:
    work(engine, record(engine, [1] * 8, job_size=8), 2.0)
    work(engine, record(engine, [1] * 8, job_size=8, recipe=like(seed=1)), 4.0)
    record(engine, [1] * 8, job_size=8, recipe=like(seed=2))  # nothing of it is done
    assert rate(engine, like(seed=3)) == 8 * VIEWS / 4


def test_the_newest_jobs_of_a_run_tell_the_rate(engine: Engine) -> None:
    run_id = record(engine, [1] * 30, job_size=1)
    work(engine, run_id, *[9.0] * 10, *[1.0] * 20)
    assert rate(engine, RECIPE) == VIEWS


def test_a_new_run_is_cut_so_and_a_dry_run_says_it_before(engine: Engine, settings: Settings, tmp_path: Path) -> None:
    assert cut_as_recorded(Settings(home=tmp_path / "nothing"), RECIPE, AS_MEASURED)["job_size"] == 64
    work(engine, record(engine, [1] * 8, job_size=8), 2.0)  # four images a second
    assert cut_as_recorded(settings, RECIPE, AS_MEASURED)["job_size"] == 20
    entries = [Entry(path=f"{number}.png", label=None, bytes=None) for number in range(50)]
    photos = Dataset(name="p", root="/p", fingerprint="p", size=50, found=50, labelled=0, entries=entries)
    assert [(job.first, job.last) for job in jobs(engine, submit(engine, RECIPE, photos).run_id)] == [
        (0, 19), (20, 39), (40, 49)
    ]  # fmt: skip


def test_a_run_that_this_version_cannot_read_is_passed_over(engine: Engine) -> None:
    work(engine, record(engine, [1] * 8, job_size=8), 2.0)
    record(engine, [1], recipe=like(kernel_size=8))
    assert rate(engine, RECIPE) == 8 * VIEWS / 2


def test_a_job_of_a_certificate_has_five_seconds_of_copies(engine: Engine) -> None:
    # Four images, the 10 copies that select: at two noise levels 80 views.
    run_id = record(engine, [1] * 4, recipe=CERTIFICATE, copies=110, job_size=4)
    work(engine, run_id, 0.1)
    assert cut(engine, CERTIFICATE) == (None, 4 * 110 * 2 * 50)
    assert cut(engine, CERTIFICATE, JobSize(given=3)) == (3, 1000)
    assert rate(engine, RECIPE) is None
