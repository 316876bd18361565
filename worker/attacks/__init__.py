"""Attacks: perturbations that are made for an image and a model, so that the model answers wrongly.

This folder holds what they share; each attack is a file of worker/perturbations. They act on the image at its own
size, in [0, 1], before it is smoothed, as noise does.

They are written here and not taken from a library. Foolbox and torchattacks draw from PyTorch's global generator, which
the threads of a worker share, so that an image would meet another attack beside other images; they take one ε at a
time, so that each level would cost a run of its own; and their budgets count iterations, not queries. The gradient
attacks agree with Foolbox where both can do the same: tests/test_gradient_attacks.py.

Names, axes and options are read on machines without torch: this module imports none.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from db.axis import Axis
from db.errors import Refusal, WrongUse
from db.recipe import Recipe
from worker.attacks.options import Aimed
from worker.perturbations import Perturbation, Subject

if TYPE_CHECKING:
    import torch

    from worker.attacks.attacked import Attacked

#: The axes of attacks: those with the same axis can be compared level by level.
LINF = Axis("ε", "attack size", "L∞ distance, pixels in [0, 1]", 255, kind="attack")
L2 = Axis("ε", "attack size", "L2 distance, pixels in [0, 1]", kind="attack")

Told = TypeVar("Told", bound=Aimed)

#: Pixels of all levels that are attacked together: five levels of a photograph of 500×375, one by one those of a large
#: image. An attack keeps some ten tensors of that size.
PIXELS_AT_ONCE = 1_000_000


class Attack(Perturbation, Generic[Told]):
    """Finds an image within a distance ε of the given one that the model answers wrongly."""

    levels: tuple[float, ...] = (0.0, 1 / 255, 2 / 255, 4 / 255)
    limits = (0, 1)
    needs_model = True
    options: type[Told]
    job_size = 8

    def check_recipe(self, recipe: Recipe) -> None:
        """As Perturbation: the target must be a class of the model."""
        super().check_recipe(recipe)
        target = dict(recipe.options or ()).get("target")
        if isinstance(target, int) and target >= recipe.class_count:
            last = recipe.class_count - 1
            raise WrongUse(f"--target: the model has classes 0 to {last} (given: {target})")

    def perturb(self, subject: Subject, levels: Sequence[float]) -> "Iterator[torch.Tensor]":
        """As Perturbation; ε = 0 returns the image as it is, and so does a target class that the image has already.

        All levels of an image are attacked together. On another device, or with other levels beside it, x is another
        one: gradients are rounded differently.
        """
        import torch

        from worker.attacks.attacked import Attacked
        from worker.attacks.deterministic import deterministic
        from worker.lanes import batched

        if subject.aim is None:
            raise Refusal(f"the perturbation {self.name} needs the model, which is not loaded here")
        options = self.options.model_validate(dict(subject.recipe.options or ()))
        found = {0.0: subject.image}
        # Autograd takes no tensor that was made in inference mode. The mode must not be left while x is handed over.
        with torch.inference_mode(False), torch.no_grad(), deterministic(subject.image.device):
            attacked = Attacked(subject, subject.aim, options)
            positive = [level for level in levels if level > 0]
            at_once = max(1, PIXELS_AT_ONCE // attacked.image[0].numel())
            for group in batched(positive, at_once):
                if attacked.target == attacked.label:
                    found |= dict.fromkeys(group, subject.image)
                else:
                    found |= zip(group, self.attack(attacked, group, options), strict=True)
        yield from (found[level] for level in levels)

    @abstractmethod
    def attack(self, attacked: "Attacked", levels: Sequence[float], options: Told) -> "torch.Tensor":
        """x at some levels: (levels, 3, H, W) in [0, 1], each no further than its ε from the image.

        Args:
            attacked: the image, and what the attacker sees of it.
            levels: ε, above 0.
            options: of this attack.
        """
