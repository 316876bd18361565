"""One crew for all runs of a command: with a real Redis and database, and workers that answer without a model."""

import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rows import LEVELS, finish_all, image_ids, predicted
from sqlalchemy import Engine, select

import producer.crew
import producer.watch
from db import control, store
from db.errors import INCOMPLETE, Refusal, SmoothvoteError, WrongUse
from db.migrations import upgrade
from db.recipe import Recipe, make_recipe
from db.runs import list_runs, progress
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from db.tables import Job, Run
from producer.broker import Broker
from producer.dataset import Dataset
from producer.job_size import JobSize
from producer.run import run_here
from producer.submit import default_name, submit
from producer.sweep import recipes_of, sweep_here

DATASET = Dataset(
    name="images",
    root="/images",
    entries=[Entry(path=f"{number}.jpg", label=1, bytes=1) for number in range(4)],
    size=4,
    found=4,
    labelled=4,
    fingerprint="f" * 64,
)
FIRST, SECOND = (make_recipe(model=model, levels=LEVELS) for model in ("timm/first", "timm/second"))


class Hands:
    """Stands in for the worker processes: at every look it does the jobs that were sent, or refuses them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.started = 0
        self.ended: list[bool] = []
        #: Models whose jobs are refused.
        self.refused: tuple[str, ...] = ()
        #: While they are busy they take no job.
        self.busy = False
        #: Called before the jobs of a look are done, with their count.
        self.before: Callable[[int], object] = lambda _: None
        #: The models and kernel sizes whose jobs were on the queue, look by look; and how long the queue was.
        self.seen: list[list[tuple[str, int]]] = []
        self.queued: list[int] = []
        #: How many images of all runs were done by then.
        self.counts: list[int] = []

    def __call__(self, folder: Path, broker: str, *, processes: int, name: str, grace: float) -> "Hands":
        self.started += 1
        self._broker = Broker(Settings(broker_url=broker))
        self._name = f"{name}:1"
        return self

    def keep_up(self, count_done: Callable[[], int]) -> bool:
        with reading(self._engine) as session:
            sent = select(Job.id, Run.recipe).join(Run).where(Job.sent_at.is_not(None), Job.worker.is_(None))
            jobs = session.execute(sent.where(Job.done_at.is_(None)).order_by(Job.id)).all()
        if jobs:
            self.before(len(jobs))
            self.seen.append(list(dict.fromkeys((job.recipe["model"], job.recipe["kernel_size"]) for job in jobs)))
            self.queued.append(self._broker.queued())
            self.counts.append(count_done())
        for job in () if self.busy else jobs:
            self._do(job.id, job.recipe)
        return False

    def end(self, *, at_once: bool) -> None:
        self.ended.append(at_once)

    def _do(self, job_id: int, recipe: Mapping[str, Any]) -> None:
        claim = store.claim(self._engine, job_id, worker=self._name, lease=60)
        assert claim
        if recipe["model"] in self.refused:
            store.refuse(self._engine, claim, worker=self._name, note=f"no weights of {recipe['model']}", after=60)
            return
        found = [predicted(image, level, 1, 1, 1, 1) for image in image_ids(self._engine, claim) for level in LEVELS]
        assert store.finish(self._engine, claim, found, [])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Neither a queue nor a database is set: both are the embedded ones."""
    return Settings(home=tmp_path)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def hands(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hands]:
    monkeypatch.setattr(producer.watch, "LOOK", 0.01)
    before = {stop: signal.getsignal(stop) for stop in (signal.SIGINT, signal.SIGTERM)}
    made = Hands(engine)
    monkeypatch.setattr(producer.crew, "Workers", made)
    yield made
    for stop, handler in before.items():
        signal.signal(stop, handler)


def sweep(settings: Settings, recipes: list[Recipe], **given: Any) -> dict[str, str]:
    by_id = {recipe.run_id(DATASET.fingerprint): recipe for recipe in recipes}
    refused = sweep_here(settings, by_id, DATASET, workers=1, **given)
    return {f"{by_id[run_id].model} {by_id[run_id].kernel_size}": reason for run_id, reason in refused.items()}


def recorded(engine: Engine) -> dict[tuple[str, int], bool]:
    """Model and kernel size of each run in the list, the oldest first, and whether it is complete."""
    with reading(engine) as session:
        runs = [(run.recipe, progress(session, run).complete) for run in reversed(list_runs(session))]
    return {(recipe.model, recipe.kernel_size): complete for recipe, complete in runs}


def unfinished(engine: Engine) -> list[Job]:
    with reading(engine) as session:
        return list(session.scalars(select(Job).where(Job.done_at.is_(None))))


def test_a_sweep_starts_one_crew_and_every_run_is_complete(settings: Settings, engine: Engine, hands: Hands) -> None:
    assert sweep(settings, recipes_of([FIRST, SECOND], (3, 5), ())) == {}
    assert hands.started == 1
    assert hands.ended == [False]
    assert recorded(engine) == dict.fromkeys(
        [("timm/first", 3), ("timm/first", 5), ("timm/second", 3), ("timm/second", 5)], True
    )


def test_jobs_are_sent_ahead_once_their_classifier_is_known_to_work(
    settings: Settings, engine: Engine, hands: Hands
) -> None:
    sweep(settings, recipes_of([FIRST, SECOND], (3, 5, 7), ()))
    assert hands.seen == [
        [("timm/first", 3)],
        [("timm/first", 5), ("timm/first", 7)],
        [("timm/second", 3)],
        [("timm/second", 5), ("timm/second", 7)],
    ]
    assert hands.counts == [0, 4, 12, 16]


def test_what_is_complete_starts_nothing(settings: Settings, engine: Engine, hands: Hands) -> None:
    recipes = recipes_of([FIRST], (3, 5), ())
    for recipe in recipes:
        finish_all(engine, submit(engine, recipe, DATASET).run_id)
    assert sweep(settings, recipes) == {}
    assert (hands.started, hands.ended) == (0, [])
    assert not (settings.home / "redis.log").exists()


def test_a_refused_run_stops_no_other_and_is_not_recorded(settings: Settings, engine: Engine, hands: Hands) -> None:
    hands.refused = ("timm/first",)
    refused = sweep(settings, recipes_of([FIRST, SECOND], (3, 5), ()))
    assert refused == dict.fromkeys(("timm/first 3", "timm/first 5"), "no weights of timm/first")
    assert recorded(engine) == {("timm/second", 3): True, ("timm/second", 5): True}
    # The second kernel of the refused model was not tried.
    assert hands.seen == [[("timm/first", 3)], [("timm/second", 3)], [("timm/second", 5)]]


def test_a_complete_run_is_not_refused_with_the_others_of_its_classifier(
    settings: Settings, engine: Engine, hands: Hands
) -> None:
    recipes = recipes_of([FIRST], (3, 5), ())
    finish_all(engine, submit(engine, recipes[1], DATASET).run_id)
    hands.refused = ("timm/first",)
    assert list(sweep(settings, recipes)) == ["timm/first 3"]
    assert recorded(engine) == {("timm/first", 5): True}


def test_a_run_that_was_begun_stays_recorded_when_it_is_refused(
    settings: Settings, engine: Engine, hands: Hands
) -> None:
    submit(engine, FIRST, DATASET)
    hands.refused = ("timm/first",)
    with pytest.raises(Refusal, match="no weights of timm/first"):
        run_here(settings, FIRST, DATASET, workers=1)
    assert recorded(engine) == {("timm/first", 5): False}
    assert hands.ended == [True]


def test_the_jobs_of_a_refused_run_are_not_in_the_way_of_the_next_run(
    settings: Settings, engine: Engine, hands: Hands
) -> None:
    submit(engine, FIRST, DATASET, job_size=JobSize(1))  # recorded before: its jobs are not deleted
    hands.refused = ("timm/first",)
    sweep(settings, [FIRST, SECOND], job_size=JobSize(1))
    first, second = hands.queued  # by the second look, not all jobs of the second run need to be on the queue
    assert first == 4
    assert second <= 4


def test_a_new_run_that_is_refused_is_not_recorded(settings: Settings, engine: Engine, hands: Hands) -> None:
    hands.refused = ("timm/first",)
    with pytest.raises(Refusal, match="no weights of timm/first"):
        run_here(settings, FIRST, DATASET, workers=1)
    assert recorded(engine) == {}


def test_an_interrupted_sweep_gives_its_jobs_back_and_is_resumed(
    settings: Settings, engine: Engine, hands: Hands, capsys: pytest.CaptureFixture[str]
) -> None:
    recipes = recipes_of([FIRST, SECOND], (3, 5), ())

    def interrupt(_: int) -> None:
        if hands.seen:
            raise KeyboardInterrupt

    hands.before = interrupt
    with pytest.raises(SystemExit) as ended:
        sweep(settings, recipes)
    assert ended.value.code == INCOMPLETE
    assert capsys.readouterr().err.endswith("smoothvote: stopped; the same command resumes\n")
    assert hands.ended == [True]
    assert list(recorded(engine).values()) == [True, False, False, False]
    assert [(job.sent_at, job.attempts) for job in unfinished(engine)] == [(None, 0)] * 3
    hands.before = lambda _: None
    assert sweep(settings, recipes) == {}
    assert unfinished(engine) == []


def test_a_run_that_is_cancelled_ends_its_command(settings: Settings, engine: Engine, hands: Hands) -> None:
    def cancel(_: int) -> None:
        with writing(engine) as session:
            control.cancel(session, FIRST.run_id(DATASET.fingerprint))
        hands.busy = True

    hands.before = cancel
    with pytest.raises(SmoothvoteError, match="was cancelled; the same command resumes it"):
        run_here(settings, FIRST, DATASET, workers=1)
    assert len(unfinished(engine)) == 1
    hands.before, hands.busy = (lambda _: None), False
    run_here(settings, FIRST, DATASET, workers=1)
    assert unfinished(engine) == []


def test_no_workers_and_no_queue_is_wrong_use(settings: Settings, engine: Engine, hands: Hands) -> None:
    with pytest.raises(WrongUse, match="--workers 0 leaves the work to workers elsewhere"):
        run_here(settings, FIRST, DATASET, workers=0)
    assert recorded(engine) == {}


def test_a_run_without_a_name_is_called_by_what_it_measures() -> None:
    assert default_name(FIRST, DATASET) == "images-first"
    other = make_recipe(model="torchvision/resnet50@IMAGENET1K_V2", perturbation="salt", smoother="median")
    assert default_name(other, DATASET) == "images-resnet50-salt-median"
    attacked = {"model": "timm/first", "perturbation": "pgd", "options": {"attacker": "model", "target": "none"}}
    assert default_name(make_recipe(**attacked), DATASET) == "images-first-pgd"
    attacked["options"] = {"attacker": "defence", "target": 3, "steps": 20}
    assert default_name(make_recipe(**attacked), DATASET) == "images-first-pgd-attacker-defence-target-3"
