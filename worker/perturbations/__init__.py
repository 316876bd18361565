"""Perturbations: each turns an image and a level into x, the image that is smoothed and classified in its place.

One file a perturbation, which holds it as ``MEMBER``; `--perturbation NAME` finds it. A machine that only submits runs
reads names, axes and levels from here and has no torch: members import torch inside their functions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from db.axis import Axis
from db.errors import WrongUse
from db.recipe import Recipe, in_one_line
from db.registry import Family
from worker.keys import Key

if TYPE_CHECKING:
    import torch
    from torch import nn

    from db.recipe import Preprocessing
    from worker.attacks.passes import Passes


class Aim(NamedTuple):
    """What an attack aims at: a model, and the label that it is to lose."""

    #: From (N, 3, crop, crop) views in [0, 1] to (N, classes) logits, in fp32, on the image's device.
    network: "nn.Module"
    #: How the views of this model are resized and cropped.
    preprocessing: "Preprocessing"
    #: Index of the image's true class; None: whatever the model says of the image as it is.
    label: int | None = None
    #: Called after each forward pass: a worker shows by it that it is alive.
    after_pass: Callable[[], None] = lambda: None
    #: Passes through the network that the threads of a GPU share; None: each thread runs its own.
    passes: "Passes | None" = None


class Subject(NamedTuple):
    """An image that is to be perturbed, and what a perturbation may know about it."""

    #: (3, H, W) float32 in [0, 1], on the device where x is wanted. Not to be written to.
    image: "torch.Tensor"
    #: What ``Perturbation.draw`` returned for this image, on the same device.
    field: "torch.Tensor"
    #: For random numbers that ``draw`` did not draw.
    key: Key
    recipe: Recipe
    preprocessing: "Preprocessing"
    #: For a perturbation that needs the model.
    aim: Aim | None = None


class Options(BaseModel):
    """What a perturbation is told beside its levels: nothing, unless it declares fields.

    A run records every option that is not None, so that its report can name them. An option that is added later has
    the default None: then the ids of earlier runs stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


class Perturbation(ABC):
    """Turns images into x. Members are stateless: threads share them."""

    #: What `--perturbation` calls it.
    name: str
    #: What its levels measure.
    axis: Axis
    #: The levels of a run that names none.
    levels: tuple[float, ...]
    #: The lowest and the highest level that is allowed.
    limits: tuple[float, float]
    #: Whether x depends on the model, as that of an attack does: ``Subject.aim`` is None for the others.
    needs_model: bool = False
    #: What it can be told beside its levels.
    options: type[Options] = Options
    #: Images per job of a run that sets no number; None: the usual number. Fewer where one image takes seconds.
    job_size: int | None = None

    def check(self, levels: Sequence[float]) -> None:
        """Refuses levels that this perturbation does not have.

        Raises:
            WrongUse: naming the first such level and what is allowed.
        """
        low, high = self.limits
        for level in levels:
            if not low <= level <= high:
                allowed = f"{self.name} takes {self.axis.symbol} from {low:g} to {high:g}"
                raise WrongUse(f"--levels: {level:g} is out of range; {allowed}")

    def check_recipe(self, recipe: Recipe) -> None:
        """Refuses a recipe that names this perturbation and does not fit it.

        Raises:
            WrongUse: naming the flag and what is allowed.
        """
        self.check(recipe.levels)

    def settle(self, given: Mapping[str, Any], typed: Mapping[str, str] = MappingProxyType({})) -> Options:
        """All options, from those that are given: checked, with defaults for the others.

        Args:
            given: values, or their texts, by the option's name.
            typed: by the option's name what a person typed, for messages; if it is not there, the option's flag.

        Raises:
            WrongUse: naming the flag of an option that it does not take, or whose value is not valid.
        """
        for name in given:
            if name not in self.options.model_fields:
                flag = typed.get(name) or f"--{name.replace('_', '-')}"
                taken = ", ".join(self.options.model_fields) or "no options"
                raise WrongUse(f"{flag}: the perturbation {self.name} takes {taken}; leave it out")
        try:
            return self.options(**given)
        except ValidationError as error:
            raise WrongUse(in_one_line(error)) from None

    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """The random field of an image: drawn once, on the CPU, and shared by all levels, so that they compare.

        Returns:
            (3, H, W), or (1, H, W) where the channels share it. Empty where ``perturb`` draws what it needs.
        """
        import torch

        return torch.empty(0)

    @abstractmethod
    def perturb(self, subject: Subject, levels: Sequence[float]) -> "Iterator[torch.Tensor]":
        """x at each of the levels, in their order: (3, H, W) float32 in [0, 1] on the image's device.

        x at one level must not depend on which others are asked for. Called in PyTorch's inference mode: who needs
        gradients leaves it (``torch.inference_mode(False)``) and copies the image.
        """


class Pointwise(Perturbation):
    """A perturbation of which a pixel of x depends on that pixel and its random numbers alone.

    It is computed only for the part of an image that the crop can see.
    """

    @abstractmethod
    def draw(self, key: Key, height: int, width: int) -> "torch.Tensor":
        """As Perturbation, and never empty."""

    @abstractmethod
    def at(self, values: "torch.Tensor", field: "torch.Tensor", level: float) -> "torch.Tensor":
        """x at one level, for any part of an image.

        Args:
            values: pixels in [0, 1], of any shape. Not to be written to.
            field: the same part of what ``draw`` returned, in a shape that broadcasts to that of ``values``.
            level: of the perturbation.
        """

    def perturb(self, subject: Subject, levels: Sequence[float]) -> "Iterator[torch.Tensor]":
        """As Perturbation."""
        for level in levels:
            yield self.at(subject.image, subject.field, level)


PERTURBATIONS = Family[Perturbation]("worker.perturbations", "perturbation")
