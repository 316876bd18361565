"""The aim of a run's attacks: the run's own model, or the one that a transfer attack is made on."""

from functools import lru_cache

import torch

from db.recipe import Recipe
from worker.classifier import Classifier
from worker.engines import Normalised
from worker.models import load
from worker.perturbations import Aim
from worker.views import steps_of


def aim_of(recipe: Recipe, classifier: Classifier) -> Aim | None:
    """What the recipe's perturbation aims at, without a label; None if it does not need the model.

    Raises:
        Refusal: if the model of a transfer attack or its weights are missing, or it has other classes.
    """
    if not steps_of(recipe).perturbation.needs_model:
        return None
    other = dict(recipe.options or ()).get("attack_model")
    if other is None:
        return Aim(classifier.network, classifier.preprocessing, after_pass=classifier.after_pass)
    made = surrogate(Recipe(model=str(other), classes=recipe.classes), classifier.device)
    return made._replace(after_pass=classifier.after_pass)


@lru_cache(maxsize=1)
def surrogate(recipe: Recipe, device: torch.device) -> Aim:
    """A model with its own preprocessing, kept for the next job."""
    model = load(recipe)
    network = Normalised(model.network, model.preprocessing).eval().to(device)
    return Aim(network.to(memory_format=torch.channels_last), model.preprocessing)
