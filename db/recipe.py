"""A recipe: everything that changes an answer. Two runs with the same recipe and images are one run."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from db.copies import looks
from db.errors import WrongUse
from db.models import check_name

#: Part of every run's id. It goes up when the computation from image to label changes by a single bit: then the same
#: recipe is a new run, and old rows are not taken for new ones.
METHOD = 2

DEFAULT_MODEL = "torchvision/resnet50@IMAGENET1K_V1"
#: The article's. They are left out of a run's id, which is the one it had before there were others.
DEFAULT_PERTURBATION = DEFAULT_SMOOTHER = "gaussian"
#: The smoother of a certificate without a denoiser: it leaves the image as it is.
UNSMOOTHED = "none"
DEFAULT_LEVELS = (0.0, 0.125, 0.25, 0.375)
#: Number of classes of ImageNet-1k, for recipes that do not name their classes.
IMAGENET_CLASSES = 1000

#: The views of an image: not smoothed, smoothed once, smoothed twice.
VIEWS = ("ns", "ss", "ds")

#: How the names of checkpoint files end. Workers read only tensors from them, never code.
CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt")

Finite = Annotated[float, Field(allow_inf_nan=False)]
Triple = tuple[Finite, Finite, Finite]
#: The perturbation says which levels it allows.
Level = Annotated[float, Field(ge=0, allow_inf_nan=False)]

#: Fields that recipes did not have at first, and what those recipes did: these values are left out of a run's id.
LATER_FIELDS = {
    "perturbation": DEFAULT_PERTURBATION,
    "options": None,
    "smoother": DEFAULT_SMOOTHER,
    "selection": None,
    "stop_radius": None,
    "stop_alpha": None,
    "stop_n": None,
}

#: The flags that are not called like their fields.
FLAGS = {"selection": "n0", "stop_radius": "stop-at-radius", "stop_alpha": "alpha", "stop_n": "n"}


class Preprocessing(NamedTuple):
    """How a view in [0,1] becomes the model's input: short side, centre crop, then (x - mean) / std per channel."""

    resize: int
    crop: int
    interpolation: str
    antialias: bool
    mean: Triple
    std: Triple

    def as_json(self) -> dict[str, Any]:
        """As a run's row stores it."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in self._asdict().items()}


class Stopping(NamedTuple):
    """When the images of a certificate stop early (db/stopping.py): all that must be chosen before the first copy."""

    #: An image stops once it is known whether it is certified at this L2 radius,
    radius: float
    #: with this probability that the certificate is wrong,
    alpha: float
    #: and with so many copies that estimate, at most.
    n: int

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of copies that estimate at which an image may stop."""
        return looks(self.n)


def _in_pairs(options: Any) -> Any:
    """Options as sorted pairs, which can be hashed as a mapping cannot; None if there are none."""
    return tuple(sorted(options.items())) or None if isinstance(options, Mapping) else options


#: Names and values of options: an object in JSON.
Options = Annotated[
    tuple[tuple[str, int | float | str], ...] | None,
    BeforeValidator(_in_pairs),
    PlainSerializer(lambda pairs: None if pairs is None else dict(pairs)),
]


def _ascending(levels: Any) -> Any:
    if not isinstance(levels, list | tuple) or not all(isinstance(level, int | float) for level in levels):
        return levels
    return tuple(sorted(level + 0.0 for level in levels))  # adding 0 turns -0.0 into 0.0


class Recipe(BaseModel):
    """Model, weights, preprocessing, perturbation and its levels, smoother and its kernel, seed.

    A preprocessing field that is None is left to the weights; the first worker of a run records the value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1)] = DEFAULT_MODEL
    #: The architecture of a checkpoint on disk: torchvision/NAME or timm/NAME.
    arch: str | None = None
    #: A torchvision weights enum member, or a checkpoint on disk to be loaded into ``model``.
    weights: str | None = None
    #: sha256 of that checkpoint's bytes: an edited file is another recipe.
    checkpoint_sha256: str | None = None
    #: Class names in the order of the model's outputs; None is ImageNet-1k.
    classes: tuple[str, ...] | None = None

    #: What is done to an image: the name of one of the worker's perturbations.
    perturbation: Annotated[str, Field(min_length=1)] = DEFAULT_PERTURBATION
    #: What else the perturbation is told, such as an attack's number of steps: the perturbation says what it takes.
    options: Options = None
    #: How much of it, ascending, in the perturbation's own unit.
    levels: Annotated[tuple[Level, ...], Field(min_length=1), BeforeValidator(_ascending)] = DEFAULT_LEVELS
    #: What smooths the perturbed image: the name of one of the worker's smoothers.
    smoother: Annotated[str, Field(min_length=1)] = DEFAULT_SMOOTHER
    #: The file of weights of a smoother that is trained, and the sha256 of its bytes.
    smoother_file: str | None = None
    smoother_sha256: str | None = None
    kernel_size: Annotated[int, Field(ge=3, le=63)] = 5
    kernel_sigma: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    #: n0 of a certificate, the number of copies that select its label; None: a vote. The number of copies that estimate
    #: the label's probability is no part of a recipe, unless it stops early: more of them may be added to a run.
    selection: Annotated[int, Field(ge=1)] | None = None
    #: The fields of Stopping; None: no image stops early.
    stop_radius: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    stop_alpha: Annotated[float, Field(gt=0, lt=0.5)] | None = None
    stop_n: Annotated[int, Field(ge=1)] | None = None

    resize: Annotated[int, Field(ge=1, le=2048)] | None = None
    crop: Annotated[int, Field(ge=1, le=2048)] | None = None
    interpolation: Literal["bilinear", "bicubic"] | None = None
    antialias: bool | None = None
    mean: Triple | None = None
    std: Triple | None = None
    grayscale: Literal["convert", "skip"] = "convert"
    #: exact: the labels of fp32. bf16: the model computes in bfloat16.
    precision: Literal["exact", "bf16"] = "exact"

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if len(set(self.levels)) != len(self.levels):
            raise ValueError("--levels: the same level is given twice")
        if self.certifies and (self.perturbation != DEFAULT_PERTURBATION or self.options):
            given = "its options" if self.options else self.perturbation
            raise ValueError(f"a certificate holds for Gaussian noise only: leave out {given}")
        if self.certifies and self.levels[0] == 0:
            raise ValueError("--sigma: every noise level of a certificate must be above 0")
        stopping = [value is not None for value in (self.stop_radius, self.stop_alpha, self.stop_n)]
        if any(stopping) and not (all(stopping) and self.certifies):
            raise ValueError("--stop-at-radius is for a certificate, and needs its radius, --alpha and --n")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"--kernel-size: {self.kernel_size} is even; a centred kernel is odd")
        if self.resize and self.crop and self.crop > self.resize:
            raise ValueError(f"--crop: {self.crop} is larger than the resized short side, {self.resize}")
        if self.std and min(self.std) <= 0:
            raise ValueError("--std: must be above 0")
        if self.is_checkpoint(self.model):
            if not self.arch:
                raise ValueError(f"{self.model} is a checkpoint: name its architecture with --arch, as timm/resnet18")
            if self.weights:
                raise ValueError("--weights goes with a named model, not with a checkpoint")
        elif self.weights and not self.is_checkpoint(self.weights) and not self.model.startswith("torchvision/"):
            raise ValueError(f"--weights: only torchvision/ models have weights by name; for {self.model} give a file")
        elif self.arch:
            raise ValueError(f"--arch goes with a checkpoint on disk; {self.model} names its own architecture")
        if self.arch:
            check_name(self.arch, "--arch: ")
        else:
            check_name(self.model)
        return self

    @property
    def certifies(self) -> bool:
        """Whether a run of this recipe counts noisy copies for a certificate, instead of taking a vote."""
        return self.selection is not None

    @property
    def stopping(self) -> Stopping | None:
        """When the images of a certificate stop early; None if all have all copies."""
        if self.stop_radius is None or self.stop_alpha is None or self.stop_n is None:
            return None
        return Stopping(self.stop_radius, self.stop_alpha, self.stop_n)

    @staticmethod
    def is_checkpoint(name: str) -> bool:
        """Whether a model or weights name is that of a checkpoint file."""
        return name.lower().endswith(CHECKPOINT_SUFFIXES)

    @property
    def checkpoint(self) -> str | None:
        """Path of the checkpoint that holds the weights, or None."""
        return next((name for name in (self.model, self.weights or "") if self.is_checkpoint(name)), None)

    @property
    def class_count(self) -> int:
        """Number of outputs that the model must have."""
        return len(self.classes) if self.classes else IMAGENET_CLASSES

    def classifier_key(self) -> "Recipe":
        """The recipe without what does not change the classifier: recipes with the same key share one.

        The number of levels of a vote stays: it decides how many views a forward pass has. A certificate has as many
        as fit, whatever its levels are.
        """
        levels = (1.0,) if self.certifies else tuple(float(level) for level in range(len(self.levels)))
        same = {"kernel_size": 5, "kernel_sigma": 1.0, "seed": 0, "grayscale": "convert"}
        same |= {"smoother_file": None, "smoother_sha256": None, "levels": levels}
        return self.model_copy(update=LATER_FIELDS | same | {"selection": 1 if self.certifies else None})

    def content(self) -> dict[str, Any]:
        """The recipe as plain JSON, without fields left to the weights and without the article's LATER_FIELDS."""
        content = self.model_dump(mode="json", exclude_none=True)
        return {name: value for name, value in content.items() if LATER_FIELDS.get(name) != value}

    def level_fields(self, level: float | None) -> dict[str, float | None]:
        """A level as JSON has it: as ``level``, and for Gaussian noise also by its former name ``sigma``."""
        return {"level": level} | ({"sigma": level} if self.perturbation == DEFAULT_PERTURBATION else {})

    def run_id(self, fingerprint: str) -> str:
        """The id of a run follows from its content: 16 hex digits of sha256 over recipe and dataset fingerprint."""
        content = self.content()
        if self.checkpoint:
            # The same checkpoint in another folder is the same run.
            content["weights" if self.weights else "model"] = self.checkpoint_sha256
        content.pop("smoother_file", None)  # likewise: its sha256 stays
        text = json.dumps([METHOD, content, fingerprint], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_recipe(**fields: Any) -> Recipe:
    """A recipe from the values that a person chose. The perturbation checks its levels itself (cli/flags.py).

    Raises:
        WrongUse: naming each field whose value is not valid.
    """
    try:
        return Recipe(**fields)
    except ValidationError as error:
        raise WrongUse(in_one_line(error)) from None


def in_one_line(error: ValidationError) -> str:
    """What is wrong with each field, named by its flag."""
    by_field = {line["loc"][:1]: _explain(dict(line)) for line in reversed(error.errors())}
    return "; ".join(reversed(by_field.values()))


def _explain(line: dict[str, Any]) -> str:
    message = str(line["msg"]).removeprefix("Value error, ")
    if not line["loc"]:
        return message
    flag = "--" + FLAGS.get(line["loc"][0], str(line["loc"][0])).replace("_", "-")
    if flag in ("--mean", "--std") and line["type"] in ("missing", "too_long"):
        return f"{flag}: three numbers, one a channel (given: {line['input']})"
    return f"{flag}: {message[0].lower()}{message[1:]} (given: {line['input']})"
