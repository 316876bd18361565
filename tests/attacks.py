"""A small model to attack, and its images: helpers of the tests of attacks."""

import hashlib
from typing import Any

import torch
from torch import nn

from db.recipe import Preprocessing, Recipe, make_recipe
from worker.classifier import Classifier, Stage
from worker.engines import Eager, Normalised
from worker.keys import Key
from worker.perturbations import PERTURBATIONS, Aim, Subject

CPU = torch.device("cpu")
#: Resizes 24 pixels to 20 and takes the 16 in the middle.
FIT = Preprocessing(20, 16, "bilinear", True, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
#: Leaves images of 16×16 pixels as they are.
AS_IT_IS = Preprocessing(16, 16, "bilinear", False, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CLASSES = 6


def network(fit: Preprocessing, seed: int = 0) -> Normalised:
    """Random weights: two convolutions with smooth activations, whose gradients are nowhere 0."""
    generator = torch.Generator().manual_seed(seed)
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=2), nn.GELU(), nn.Conv2d(8, 8, 3), nn.GELU(), nn.Flatten(), nn.LazyLinear(CLASSES)
    )
    layers(torch.zeros(1, 3, fit.crop, fit.crop))
    for parameter in layers.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / max(1, parameter[0].numel()) ** 0.5
    return Normalised(layers.eval().requires_grad_(False), fit).eval()


def image(side: int = 24, picture: int = 1) -> torch.Tensor:
    """Smooth colours, some of them 0 and some 1."""
    small = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(picture))
    large = nn.functional.interpolate(small, (side, side), mode="bicubic")[0]
    return ((large - 0.5) * 1.5 + 0.5).clamp(0, 1)


def subject(
    attack: str, fit: Preprocessing = FIT, *, side: int = 24, label: int | None = None, picture: int = 1, **fields: Any
) -> Subject:
    """An image under attack. What is no field of a recipe is an option."""
    options = {name: fields.pop(name) for name in list(fields) if name not in Recipe.model_fields}
    told = PERTURBATIONS[attack].settle(options).model_dump(exclude_none=True)
    recipe = make_recipe(perturbation=attack, options=told, **fields)
    made = image(side, picture)
    key = Key(hashlib.sha256(made.numpy().tobytes()).digest(), recipe.seed)
    return Subject(made, torch.empty(0), key, recipe, fit, Aim(network(fit), fit, label))


def attacked(one: Subject, *levels: float) -> list[torch.Tensor]:
    """x at these levels, found in inference mode, as in a worker."""
    with torch.inference_mode():
        return list(PERTURBATIONS[one.recipe.perturbation].perturb(one, levels))


def classifier(fit: Preprocessing = FIT, seed: int = 0) -> Classifier:
    """The same model as the classifier of a worker."""
    eager = Eager(network(fit, seed), CPU)
    return Classifier(fit, "0" * 64, [Stage(eager, 0)], eager, device=CPU, batch_size=12)
