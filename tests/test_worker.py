"""A worker in this process, with each kind of database. Its model is real and small; its answers do not matter here."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from PIL import Image
from rows import jobs, take_due
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError

from cli.flags import recipe_from
from db import control, store, submission
from db.due import release
from db.errors import Refusal
from db.found import Found
from db.recipe import Recipe
from db.session import reading, writing
from db.settings import Settings
from db.store import Claim, Entry, Work
from db.tables import Failure, Prediction, Run
from db.tables import Image as ImageRow
from worker.compute import Compute
from worker.files import read
from worker.stopwatch import Stopwatch
from worker.worker import Worker

COLOURS = {"red.png": (255, 0, 0), "green.png": (0, 255, 0), "blue.png": (0, 0, 255)}


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    """A checkpoint of a small network with random weights."""
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None, num_classes=3).state_dict(), tmp_path / "model.pth")
    (tmp_path / "classes.txt").write_text("red\ngreen\nblue\n")
    return recipe_from(
        preset=None, classes=tmp_path / "classes.txt", model=str(tmp_path / "model.pth"),
        arch="torchvision/squeezenet1_1", levels=(0.0, 0.25), resize=32, crop=32,
    )  # fmt: skip


@pytest.fixture
def submit(engine: Engine, tmp_path: Path, recipe: Recipe) -> Callable[..., str]:
    """Records a run over three flat pictures, or others."""

    def make(names: Sequence[str] = tuple(COLOURS), *, root: Path = tmp_path / "images", job_size: int = 3) -> str:
        (tmp_path / "images").mkdir(exist_ok=True)
        for name, colour in COLOURS.items():
            Image.new("RGB", (40, 30), colour).save(tmp_path / "images" / name)
        with writing(engine) as session:
            dataset_id = submission.record_dataset(
                session, name="colours", root=str(root), fingerprint="f", found=len(names),
                entries=[Entry(path=name, label=None, bytes=None) for name in names],
            )  # fmt: skip
            run_id = recipe.run_id("f")
            submission.record_run(
                session, run_id=run_id, dataset_id=dataset_id, name="r", recipe=recipe, job_size=job_size
            )
        return run_id

    return make


def make_worker(settings: Settings, **changed: object) -> Worker:
    settings = settings.model_copy(update={"engine": "eager"} | changed)
    return Worker(settings, Compute(settings))


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    worker = make_worker(settings, device="cpu", batch_size=6)
    yield worker
    worker.engine.dispose()


def stored(engine: Engine) -> dict[tuple[str, float], int | None]:
    with reading(engine) as session:
        rows = session.execute(
            select(ImageRow.path, Prediction.level, Prediction.label_maj).join(
                ImageRow, ImageRow.id == Prediction.image_id
            )
        )
        return {(row.path, row.level): row.label_maj for row in rows}


def failures(engine: Engine) -> dict[str, str]:
    with reading(engine) as session:
        rows = session.execute(select(ImageRow.path, Failure.code).join(ImageRow, ImageRow.id == Failure.image_id))
        return {row.path: row.code for row in rows}


def test_a_job_becomes_one_row_for_each_image_and_level_and_is_done(
    engine: Engine, worker: Worker, submit: Callable[..., str]
) -> None:
    run_id = submit()
    (job_id,) = take_due(engine)
    worker.do(job_id)
    assert stored(engine).keys() == {(name, sigma) for name in COLOURS for sigma in (0.0, 0.25)}
    job = jobs(engine, run_id)[0]
    assert job.done_at is not None
    assert job.attempts == 1
    with reading(engine) as session:
        run = session.get_one(Run, run_id)
        assert run.weights_sha256
        assert run.preprocessing == {
            "resize": 32, "crop": 32, "interpolation": "bilinear", "antialias": True,
            "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
        }  # fmt: skip


def test_a_job_records_for_how_long_it_kept_the_worker_unless_some_of_its_images_were_left_out(
    engine: Engine, worker: Worker, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit(["red.png", "green.png", "blue.png", "red.png"], job_size=1)
    first, second, third, last = take_due(engine)
    worker.do(first)
    real, turn = worker.compute.loaded, Lock()

    @contextmanager
    def slow(work: Work) -> Iterator[Any]:
        time.sleep(0.5)  # to load a model is no work of a job
        with real(work) as loaded:

            def found(watch: Stopwatch) -> Iterator[Found]:
                with turn:  # the later job waits for the earlier one, which is no work of its own
                    time.sleep(0.5)
                    yield from loaded.found(watch)

            yield SimpleNamespace(pinned=loaded.pinned, found=found)

    monkeypatch.setattr(worker.compute, "loaded", slow)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(worker.do, (second, third)))
    monkeypatch.undo()
    with writing(engine) as session:
        image_id = session.scalars(select(ImageRow.id).where(ImageRow.position == 3)).one()
        session.add(Failure(run_id=run_id, image_id=image_id, code="missing", message="by another job"))
    worker.do(last)
    seconds = [job.seconds for job in jobs(engine, run_id)]
    assert seconds[3] is None
    assert 0 < (seconds[0] or 0) < 0.5
    assert all(0.5 <= (took or 0) < 0.9 for took in seconds[1:3]), seconds


def test_a_message_that_comes_a_hundred_times_changes_nothing(
    engine: Engine, worker: Worker, submit: Callable[..., str]
) -> None:
    run_id = submit()
    (job_id,) = take_due(engine)
    worker.do(job_id)
    first, done_at = stored(engine), jobs(engine, run_id)[0].done_at
    for _ in range(100):
        worker.do(job_id)
    assert stored(engine) == first
    assert jobs(engine, run_id)[0].done_at == done_at
    assert jobs(engine, run_id)[0].attempts == 1


def test_a_claim_whose_commit_took_place_unheard_is_no_attempt_and_the_job_is_done(
    engine: Engine, worker: Worker, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit()
    (job_id,) = take_due(engine)
    real, broken = store.claim, iter([True])

    def claim(*args: Any, **named: Any) -> Claim | None:
        claimed = real(*args, **named)
        if next(broken, False):
            raise OperationalError("COMMIT", None, Exception("the connection was lost"))
        return claimed

    monkeypatch.setattr(store, "claim", claim)
    worker.do(job_id)
    assert [(job.attempts, bool(job.done_at)) for job in jobs(engine, run_id)] == [(1, True)]


def test_a_bad_image_in_a_job_is_one_failure(engine: Engine, worker: Worker, submit: Callable[..., str]) -> None:
    submit(["red.png", "nowhere.png", "../images/green.png", "blue.png"], job_size=4)
    (job_id,) = take_due(engine)
    worker.do(job_id)
    assert failures(engine) == {"nowhere.png": "missing"}
    assert {path for path, _ in stored(engine)} == {"red.png", "../images/green.png", "blue.png"}


def test_a_worker_that_does_not_see_the_images_refuses_the_job_and_blames_no_image(
    engine: Engine, worker: Worker, submit: Callable[..., str]
) -> None:
    run_id = submit(root=Path("/not/mounted/here"))
    (job_id,) = take_due(engine)
    worker.do(job_id)
    job = jobs(engine, run_id)[0]
    assert job.refused_by
    assert job.note is not None
    assert "SMOOTHVOTE_IMAGE_ROOT" in job.note
    assert job.attempts == 0
    assert failures(engine) == {}


def test_a_worker_with_other_weights_refuses_the_job(
    engine: Engine, worker: Worker, submit: Callable[..., str], tmp_path: Path
) -> None:
    run_id = submit(job_size=2)
    first, second = take_due(engine)
    worker.do(first)
    with writing(engine) as session:
        session.get_one(Run, run_id).weights_sha256 = "0" * 64
    worker.do(second)
    assert jobs(engine, run_id)[1].refused_by
    assert len(stored(engine)) == 4


def test_a_job_with_an_unforeseen_error_at_every_image_is_tried_again_and_the_attempt_counts(
    engine: Engine, worker: Worker, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit()
    (job_id,) = take_due(engine)
    with monkeypatch.context() as patched:
        patched.setattr("worker.compute.read", lambda *_: 1 / 0)
        worker.do(job_id)
    job = jobs(engine, run_id)[0]
    assert job.note == "unexpected, see the worker's log: ZeroDivisionError: division by zero"
    assert (job.refused_by, job.attempts) == (None, 1)
    assert failures(engine) == {}
    with writing(engine) as session:
        release(session, run_id, worker=None)
    worker.do(job_id)
    assert len(stored(engine)) == 6


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("odd"), "unexpected"), (Refusal("its server says 500"), "unreadable")]
)
def test_an_unforeseen_error_at_one_image_is_a_failure_of_that_image(
    engine: Engine,
    worker: Worker,
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    code: str,
) -> None:
    def read_but_one(root: str, entry: Entry, settings: Settings) -> bytes:
        if entry.path == "green.png":
            raise error
        return read(root, entry, settings)

    submit()
    (job_id,) = take_due(engine)
    monkeypatch.setattr("worker.compute.read", read_but_one)
    worker.do(job_id)
    assert failures(engine) == {"green.png": code}
    assert {path for path, _ in stored(engine)} == {"red.png", "blue.png"}


def test_if_no_image_can_be_read_the_job_goes_back_and_no_image_is_blamed(
    engine: Engine, worker: Worker, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_none(*_: object) -> bytes:
        raise Refusal("the store is away")

    run_id = submit()
    (job_id,) = take_due(engine)
    monkeypatch.setattr("worker.compute.read", read_none)
    worker.do(job_id)
    job = jobs(engine, run_id)[0]
    assert (job.note, job.refused_by, job.attempts) == ("the store is away", worker.name, 0)
    assert failures(engine) == {}


def test_a_worker_whose_device_is_missing_refuses_the_job_and_blames_no_image(
    engine: Engine, settings: Settings, submit: Callable[..., str]
) -> None:
    run_id = submit()
    (job_id,) = take_due(engine)
    worker = make_worker(settings, device="cuda:99")
    worker.do(job_id)
    worker.engine.dispose()
    note = jobs(engine, run_id)[0].note
    assert note is not None
    assert note.startswith("cannot run ")
    assert "on cuda:99" in note
    assert failures(engine) == {}


def test_a_worker_that_refuses_one_job_after_the_other_leaves_more_and_more_time_to_others(
    engine: Engine, worker: Worker, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(job_size=1)
    first, second, third = take_due(engine)
    pauses: list[float] = []
    monkeypatch.setattr("worker.worker.stopping", SimpleNamespace(wait=pauses.append))
    with monkeypatch.context() as lacking:
        lacking.setattr(worker.compute, "loaded", refuse)
        worker.do(first)
        worker.do(second)
    assert pauses == [0.1, 0.2]
    worker.do(third)
    assert pauses == [0.1, 0.2]


def refuse(_work: Work) -> NoReturn:
    raise Refusal("no weights here")


def test_cancelling_a_run_stops_its_jobs_half_way(
    engine: Engine, settings: Settings, submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = submit(["red.png", *["green.png"] * 7, "blue.png"], job_size=9)
    (job_id,) = take_due(engine)
    worker = make_worker(settings, device="cpu", lease=0.2, batch_size=6)
    looked: list[str] = []

    def slow(root: str, entry: Entry, *_: object) -> None:
        looked.append(entry.path)
        with writing(engine) as session:
            control.cancel(session, run_id)
        time.sleep(0.5)  # longer than a third of the lease, so that its renewal finds the run cancelled
        raise AssertionError

    monkeypatch.setattr("worker.compute.open_image", slow)
    monkeypatch.setattr("worker.assembly.MOST_LANES", {"cpu": 2})
    worker.do(job_id)
    worker.engine.dispose()
    assert "red.png" in looked
    assert "blue.png" not in looked
    assert jobs(engine, run_id)[0].attempts == 0  # a person cancelled it: the attempt does not count
    assert stored(engine) == {}
    assert failures(engine) == {}
