"""The classifiers that a process keeps: jobs of two runs may come in turn, and a model takes long to load."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import sleep

from db.due import MODELS_KEPT
from db.errors import Refusal
from db.recipe import Recipe
from worker.classifier import Classifier
from worker.memory import ran_out
from worker.stall import alive
from worker.turns import LOOK, Stopped, in_turn, stopping


class Classifiers:
    """Makes classifiers, and keeps the last ones that were used. Threads share it.

    Args:
        make: makes the classifier of a recipe. It is called for one recipe at a time.
    """

    def __init__(self, make: Callable[[Recipe], Classifier]) -> None:
        self._make = make
        #: The one that was used last comes last.
        self._kept: dict[Recipe, Classifier] = {}
        self._users: Counter[Recipe] = Counter()
        self._loading, self._looking = Lock(), Lock()

    @contextmanager
    def using(self, recipe: Recipe) -> Iterator[Classifier]:
        """The classifier of a recipe, which is kept at least until the block ends.

        Raises:
            Refusal: as ``make_classifier``.
            Stopped: if this process was told to stop, and the classifier would have to be made.
        """
        key = recipe.classifier_key()
        classifier = self._take(key)
        if classifier is None:
            with in_turn(self._loading):
                classifier = self._take(key) or self._load(key)
        try:
            yield classifier
        finally:
            with self._looking:
                self._users[key] -= 1

    def _take(self, key: Recipe) -> Classifier | None:
        with self._looking:
            classifier = self._kept.pop(key, None)
            if classifier is not None:
                self._kept[key] = classifier
                self._users[key] += 1
            return classifier

    def _load(self, key: Recipe) -> Classifier:
        while not self._drop(MODELS_KEPT - 1):  # frees an old model's memory before the new one needs it
            if stopping.is_set():
                raise Stopped
            alive()
            sleep(LOOK)
        try:
            made = self._make(key)
        except Refusal as error:
            if not ran_out(error) or not self._kept or not self._drop(0):
                raise
            made = self._make(key)  # with all of the memory
        with self._looking:
            self._kept[key] = made
            self._users[key] += 1
        return made

    def _drop(self, most: int) -> bool:
        """Drops unused classifiers, those that were used longest ago first; False if more than ``most`` are left."""
        with self._looking:
            for key in list(self._kept):
                if len(self._kept) > most and not self._users[key]:
                    del self._kept[key]
            return len(self._kept) <= most
