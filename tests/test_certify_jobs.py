"""Jobs of a certificate in a worker of this process, with each kind of database."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image as Picture
from rows import take_due
from sqlalchemy import Engine, select

from cli.flags import recipe_from
from db import submission
from db.recipe import Recipe
from db.runs import find_run, progress
from db.session import reading, writing
from db.settings import Settings
from db.store import Entry, Work
from db.tables import Count, Failure, Image
from worker.classifier import Classifier
from worker.compute import Compute
from worker.stopwatch import Stopwatch
from worker.worker import Worker

NAMES = ("a.png", "b.png", "broken.png", "c.png")
N0 = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small pictures and a file that is none, beside a checkpoint of a small network with random weights."""
    from torchvision import models

    folder = tmp_path_factory.mktemp("certificates")
    torch.manual_seed(0)
    for name in NAMES:
        values = (torch.rand(30, 40, 3) * 255).byte().numpy()
        Picture.fromarray(values).save(folder / name)
    (folder / "broken.png").write_bytes(b"no picture")
    torch.save(models.squeezenet1_1(weights=None, num_classes=3).state_dict(), folder / "model.pth")
    (folder / "classes.txt").write_text("red\ngreen\nblue\n")
    return folder


@pytest.fixture
def recipe(folder: Path) -> Recipe:
    return recipe_from(
        preset=None, classes=folder / "classes.txt", model=str(folder / "model.pth"), arch="torchvision/squeezenet1_1",
        levels=(0.25, 1.0), smoother="none", selection=N0, resize=32, crop=32,
    )  # fmt: skip


@pytest.fixture
def submit(engine: Engine, folder: Path, recipe: Recipe) -> Callable[[int], str]:
    """Records a run of n copies that estimate, two images a job, or adds to it."""

    def make(n: int) -> str:
        with writing(engine) as session:
            dataset_id = submission.record_dataset(
                session, name="pictures", root=str(folder), fingerprint="f", found=len(NAMES),
                entries=[Entry(path=name, label=None, bytes=None) for name in NAMES],
            )  # fmt: skip
            run_id = recipe.run_id("f")
            submission.record_run(
                session, run_id=run_id, dataset_id=dataset_id, name="r", recipe=recipe, job_size=2, copies=N0 + n
            )
        return run_id

    return make


@pytest.fixture
def worker(engine: Engine, settings: Settings) -> Iterator[Worker]:
    settings = settings.model_copy(update={"engine": "eager", "device": "cpu", "batch_size": 6})
    worker = Worker(settings, Compute(settings))
    yield worker
    worker.engine.dispose()


def classifier_of(worker: Worker, recipe: Recipe) -> Classifier:
    """The worker's classifier of a recipe."""
    assert isinstance(worker.compute, Compute)
    with worker.compute.loaded(Work(recipe=recipe, root="/", images=[])) as job:
        return job.classifier


def work(engine: Engine, worker: Worker) -> None:
    while due := take_due(engine):
        for job_id in due:
            worker.do(job_id)


def counted(engine: Engine) -> dict[tuple[int, float, int, int], int]:
    with reading(engine) as session:
        return {(row.image_id, row.level, row.part, row.label): row.n for row in session.scalars(select(Count))}


def test_every_image_has_its_copies_counted_at_every_level_and_a_broken_one_is_one_failure(
    engine: Engine, worker: Worker, submit: Callable[[int], str]
) -> None:
    run_id = submit(30)
    work(engine, worker)
    totals: Counter[tuple[int, float, int]] = Counter()
    for (image_id, level, part, _), n in counted(engine).items():
        totals[image_id, level, part] += n
    with reading(engine) as session:
        ((broken, code),) = session.execute(select(Failure.image_id, Failure.code)).all()
        state = progress(session, find_run(session, run_id))
    others = {image_id for image_id, *_ in totals}
    assert code == "not_an_image"
    assert broken not in others
    assert totals == {
        (image_id, level, part): n for image_id in others for level in (0.25, 1.0) for part, n in ((0, N0), (N0, 30))
    }
    assert (len(others), state.complete, state.done, state.failed) == (3, True, 4, 1)


def by_label(counts: Mapping[tuple[int, float, int, int], int]) -> Counter[tuple[int, float, int]]:
    """How many copies of an image at a level have a label, over all parts."""
    totals: Counter[tuple[int, float, int]] = Counter()
    for (image_id, level, _, label), n in counts.items():
        totals[image_id, level, label] += n
    return totals


def test_more_copies_later_are_the_only_ones_computed_and_add_up_to_a_run_from_nothing(
    engine: Engine, worker: Worker, submit: Callable[[int], str], recipe: Recipe, folder: Path
) -> None:
    run_id = submit(30)
    work(engine, worker)
    classifier = classifier_of(worker, recipe)
    before, asked = counted(engine), classifier.asked["eager f32"]
    assert submit(150) == run_id
    work(engine, worker)
    after = counted(engine)
    assert {key: after[key] for key in before} == before
    # Three images at two levels. Copies fill passes of six; few are close, and asked once more.
    more = 3 * 2 * 120
    assert more <= classifier.asked["eager f32"] - asked < 1.05 * more

    with reading(engine) as session:
        usable = session.scalars(select(Image).where(Image.path != "broken.png").order_by(Image.position)).all()
    images = [(image.id, Entry(path=image.path, label=None, bytes=None)) for image in usable]
    from_nothing = Work(recipe=recipe, root=str(folder), images=images, copies=(0, N0 + 149))
    with worker.compute.loaded(from_nothing) as job:
        rows = [row for some in job.found(Stopwatch()) for row in some.counted]
    assert by_label(after) == by_label({(row.image_id, row.level, row.part, row.label): row.n for row in rows})


def test_the_views_of_a_pass_do_not_depend_on_how_many_levels_a_certificate_has(worker: Worker, recipe: Recipe) -> None:
    for levels in ((0.25,), (0.12, 0.25, 0.5, 1.0)):
        assert classifier_of(worker, recipe.model_copy(update={"levels": levels})).batch_size == 6
