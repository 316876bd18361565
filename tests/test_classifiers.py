"""A process keeps the classifiers of two runs, drops none that is in use, and loads one at a time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from db.errors import Refusal
from db.recipe import Recipe, make_recipe
from worker import turns
from worker.classifiers import Classifiers
from worker.turns import Stopped

ONE, TWO, THREE = (make_recipe(model=f"timm/{name}") for name in ("one", "two", "three"))


class Made:
    """Makes names in the place of classifiers, and remembers which."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, recipe: Recipe) -> Any:
        self.names.append(recipe.model.removeprefix("timm/"))
        return self.names[-1]


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture(autouse=True)
def told_to_stop() -> Iterator[None]:
    yield
    turns.stopping.clear()


def use(classifiers: Classifiers, *recipes: Recipe) -> None:
    for recipe in recipes:
        with classifiers.using(recipe) as classifier:
            assert classifier == recipe.model.removeprefix("timm/")


def test_two_runs_in_turn_load_their_models_once(made: Made) -> None:
    use(Classifiers(made), ONE, TWO, ONE, TWO, ONE)
    assert made.names == ["one", "two"]


def test_of_a_third_one_takes_the_place_of_the_one_that_was_used_longest_ago(made: Made) -> None:
    use(Classifiers(made), ONE, TWO, ONE, THREE, ONE, TWO)
    assert made.names == ["one", "two", "three", "two"]


def test_another_seed_is_no_other_classifier(made: Made) -> None:
    use(Classifiers(made), ONE, ONE.model_copy(update={"seed": 7}))
    assert made.names == ["one"]


def test_a_third_is_loaded_when_one_of_the_two_is_not_in_use_any_more(made: Made) -> None:
    classifiers, inside = Classifiers(made), ExitStack()
    with classifiers.using(ONE), ThreadPoolExecutor(1) as other:
        inside.enter_context(classifiers.using(TWO))
        third = other.submit(use, classifiers, THREE)
        threading.Timer(0.1, inside.close).start()
        third.result()
        use(classifiers, ONE)
    assert made.names == ["one", "two", "three"]


def test_a_job_that_waits_for_room_is_told_to_stop(made: Made) -> None:
    classifiers = Classifiers(made)
    with classifiers.using(ONE), classifiers.using(TWO):
        threading.Timer(0.1, turns.stopping.set).start()
        with pytest.raises(Stopped):
            use(classifiers, THREE)


def test_jobs_that_begin_together_load_their_model_once() -> None:
    made, at_once = Made(), threading.Semaphore(1)

    def make(recipe: Recipe) -> Any:
        assert at_once.acquire(blocking=False), "two are loaded at the same time"
        threading.Event().wait(0.1)
        at_once.release()
        return made(recipe)

    classifiers = Classifiers(make)
    with ThreadPoolExecutor(6) as jobs:
        list(jobs.map(lambda recipe: use(classifiers, recipe), [ONE, TWO] * 3))
    assert sorted(made.names) == ["one", "two"]


def test_a_model_for_which_memory_is_short_gets_that_of_unused_ones() -> None:
    made = Made()

    def make_if_alone(names: list[str]) -> Callable[[Recipe], Any]:
        def make(recipe: Recipe) -> Any:
            names.append(recipe.model)
            if names == [ONE.model, TWO.model]:
                raise Refusal("not enough memory on cuda:0 for timm/two: CUDA out of memory")
            return made(recipe)

        return make

    asked: list[str] = []
    use(Classifiers(make_if_alone(asked)), ONE, TWO, ONE)
    assert asked == [ONE.model, TWO.model, TWO.model, ONE.model]


def test_a_model_that_cannot_be_had_leaves_the_others_in_place() -> None:
    made = Made()

    def make(recipe: Recipe) -> Any:
        if recipe == TWO.classifier_key():
            raise Refusal("the weights of timm/two are not here")
        return made(recipe)

    classifiers = Classifiers(make)
    use(classifiers, ONE)
    for _ in range(2):
        with pytest.raises(Refusal, match="not here"):
            use(classifiers, TWO)
    use(classifiers, ONE)
    assert made.names == ["one"]
