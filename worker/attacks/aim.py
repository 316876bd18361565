"""The aim of a run's attacks: the run's own model, or the one that a transfer attack is made on."""

from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import torch

from db.errors import Refusal
from db.recipe import VIEWS, Preprocessing, Recipe
from worker.attacks.attacked import VIEWS_AT_ONCE
from worker.attacks.passes import SharedPasses
from worker.classifier import Classifier
from worker.engines import Normalised
from worker.models import load
from worker.perturbations import Aim
from worker.turns import patient
from worker.views import steps_of


def aim_of(recipe: Recipe, classifier: Classifier) -> Aim | None:
    """What the recipe's perturbation aims at, without a label; None if it does not need the model.

    Raises:
        Refusal: if the model of a transfer attack or its weights are missing, or it has other classes.
    """
    if not steps_of(recipe).perturbation.needs_model:
        return None
    other = _surrogate(recipe)
    aim = loaded(other, classifier.device).aim if other else Aim(classifier.network, classifier.preprocessing)
    aim = aim._replace(after_pass=classifier.after_pass)
    if classifier.device.type == "cuda":
        aim = aim._replace(passes=shared_passes(aim, recipe, classifier.lanes))
    return aim


def shared_passes(aim: Aim, recipe: Recipe, lanes: int) -> SharedPasses:
    """Passes that hold the views of one image from each of a worker's lanes."""
    views = len(VIEWS) if dict(recipe.options or ()).get("attacker") == "defence" else 1
    of_image = max(views, min(VIEWS_AT_ONCE["cuda"], views * sum(level > 0 for level in recipe.levels)))
    return SharedPasses(aim.network, aim.after_pass, lanes * of_image)


def aim_of_record(recipe: Recipe, preprocessing: Preprocessing, weights_sha256: str | None) -> Aim | None:
    """The same for a run that is recorded, where nothing is predicted: on the CPU.

    Args:
        recipe: of the run.
        preprocessing: that its first worker recorded.
        weights_sha256: that its first worker recorded.

    Raises:
        Refusal: as ``aim_of``, or if the weights here are not those of the run.
    """
    if not steps_of(recipe).perturbation.needs_model:
        return None
    cpu = torch.device("cpu")
    if other := _surrogate(recipe):
        return loaded(other, cpu).aim
    own = loaded(recipe.classifier_key(), cpu)
    if own.weights_sha256 != weights_sha256:
        raise Refusal(f"the weights of {recipe.model} here are not those of the run: its attack cannot be drawn")
    return own.aim._replace(preprocessing=preprocessing)


class Loaded(NamedTuple):
    """A model to aim at, and the identity of its weights."""

    aim: Aim
    weights_sha256: str


#: Jobs that begin together would each load the model otherwise.
_LOADING = Lock()


def loaded(recipe: Recipe, device: torch.device) -> Loaded:
    """Loads the model of a recipe, with its preprocessing; the last two are kept for later jobs and pictures.

    Raises:
        Refusal: if the model or its weights are missing, or it has other classes.
    """
    with patient(_LOADING):
        return _loaded(recipe, device)


@lru_cache(maxsize=2)
def _loaded(recipe: Recipe, device: torch.device) -> Loaded:
    model = load(recipe)
    network = Normalised(model.network, model.preprocessing).eval().to(device)
    aim = Aim(network.to(memory_format=torch.channels_last), model.preprocessing)
    return Loaded(aim, model.weights_sha256)


def _surrogate(recipe: Recipe) -> Recipe | None:
    """The recipe of the model that a transfer attack is made on."""
    name = dict(recipe.options or ()).get("attack_model")
    return None if name is None else Recipe(model=str(name), classes=recipe.classes)
