"""The flags that make a recipe, shared by every command that takes one, and how they are checked."""

import hashlib
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.article import PRESET
from db.axis import Axis
from db.bounded import check_file, check_text
from db.errors import WrongUse
from db.numbers import number
from db.recipe import DEFAULT_MODEL, DEFAULT_PERTURBATION, DEFAULT_SMOOTHER, Recipe, make_recipe

if TYPE_CHECKING:
    from producer.job_size import JobSize
    from worker.perturbations import Perturbation

Command = Callable[..., Any]

#: Bytes in a file of class names, at most; those of ImageNet-21k are 0.6 MB.
LARGEST_CLASSES = 16 * 2**20


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas; fractions such as 4/255 are numbers, too."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """Parses the text of a flag, as click asks of a parameter's type."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(number(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers between commas, as 0,0.125,0.25", param, ctx)


#: Recipe fields and the flags that set them. None is "not given": the preset's value, or the recipe's default.
RECIPE_FLAGS = (
    click.option("--model", help=f"torchvision/NAME[@WEIGHTS], timm/NAME, efficientnet_lite0 (bundled), or a checkpoint with --arch.  [default: {DEFAULT_MODEL}]"),
    click.option("--weights", help="A torchvision weights name, or a .safetensors, .pth or .pt file for --model."),
    click.option("--arch", help="Architecture of a checkpoint: torchvision/NAME or timm/NAME."),
    click.option("--classes", type=click.Path(path_type=Path), help="Class names, one a line, in the order of the model's outputs.  [default: ImageNet-1k]"),
    click.option("--perturbation", metavar="NAME", help=f"What is done to the images; `smoothvote list` names all.  [default: {DEFAULT_PERTURBATION}]"),
    click.option("--levels", type=Numbers(), metavar="L,L,…", help="Levels of the perturbation, in its own unit; also fractions, as 4/255.  [default: the perturbation's own; of gaussian 0,0.125,0.25,0.375]"),
    click.option("--smoother", metavar="NAME[:FILE]", help=f"What smooths the perturbed images; `smoothvote list` names all.  [default: {DEFAULT_SMOOTHER}]"),
    click.option("--kernel-size", type=int, metavar="N", help="Side of the smoothing kernel, odd.  [default: 5]"),
    click.option("--kernel-sigma", type=float, metavar="S", help="Standard deviation of a Gaussian kernel, in pixels.  [default: 1.0]"),
    click.option("--seed", type=int, metavar="N", help="Seed of everything random.  [default: 0]"),
    click.option("--resize", type=int, metavar="N", help="Short side before the crop.  [default: the weights' own]"),
    click.option("--crop", type=int, metavar="N", help="Side of the centre crop.  [default: the weights' own]"),
    click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="How images are resized.  [default: the weights' own]"),
    click.option("--antialias/--no-antialias", default=None, help="Whether resizing averages the pixels that it drops.  [default: the weights' own]"),
    click.option("--mean", type=Numbers(), metavar="R,G,B", help="Normalisation: subtracted from each channel.  [default: the weights' own]"),
    click.option("--std", type=Numbers(), metavar="R,G,B", help="Normalisation: divides each channel.  [default: the weights' own]"),
    click.option("--grayscale", type=click.Choice(["convert", "skip"]), help="Convert grey images to RGB, or skip them.  [default: convert]"),
    click.option("--precision", type=click.Choice(["exact", "bf16"]), help="exact: the labels of fp32; bf16: the model computes in bfloat16.  [default: exact]"),
    click.option("--preset", type=click.Choice(["article"]), help="The article's recipe: its levels, 5×5 kernel of sigma 1, resize 256, crop 224, bilinear without antialias, grey images skipped."),
)  # fmt: skip


#: Options of perturbations, and the flags that set them. `--option NAME=VALUE` sets any other that one declares.
OPTION_FLAGS = (
    click.option("--attacker", metavar="model|defence", help="What an attacker knows: the model, or also the smoother and the vote.  [default: model]"),
    click.option("--target", metavar="none|random|least-likely|CLASS", help="The label that an attack is to reach; none: any wrong one.  [default: none]"),
    click.option("--steps", metavar="N", help="Steps of a gradient attack.  [default: 10]"),
    click.option("--restarts", metavar="N", help="Random starts of a gradient attack, of which the best counts.  [default: 1]"),
    click.option("--step-size", metavar="S", help="How far a step goes, in the levels' unit.  [default: 2.5·ε/steps]"),
    click.option("--budget", metavar="N", help="The most images that a black-box attack may ask about.  [default: 1000]"),
    click.option("--attack-model", metavar="MODEL", help="Make the attack on this model; that of the run answers it (a transfer attack).  [default: the run's]"),
    click.option("--option", metavar="NAME=VALUE", multiple=True, help="Any option that `smoothvote list` names of the perturbation."),
)  # fmt: skip
#: The names of those options.
OPTIONS = ("attacker", "target", "steps", "restarts", "step_size", "budget", "attack_model")


def recipe_flags(command: Command) -> Command:
    """Gives a command the flags of a recipe; it passes their values on to ``recipe_from``."""
    for flag in reversed(RECIPE_FLAGS + OPTION_FLAGS):
        command = flag(command)
    return command


def recipe_from(*, preset: str | None, classes: Path | None, **given: Any) -> Recipe:
    """The recipe that the flags describe: what is given, over the preset, over the defaults.

    Raises:
        WrongUse: for values that are not valid, an unknown perturbation or smoother, or a file that is not there.
    """
    given = {name: value for name, value in given.items() if value is not None}
    pairs = split_pairs(given.pop("option", ()))
    options = pairs | {name: given.pop(name) for name in OPTIONS if name in given}
    fields = (PRESET if preset else {}) | given
    if classes:
        fields["classes"] = read_classes(classes)
    if "smoother" in given:
        fields |= _smoother_fields(given["smoother"])
    perturbation = find_perturbation(given.get("perturbation", DEFAULT_PERTURBATION))
    if "levels" not in given and "perturbation" in given:
        fields["levels"] = perturbation.levels
    typed = {name: f"--option {name}={value}" for name, value in pairs.items()}
    fields["options"] = perturbation.settle(options, typed).model_dump(exclude_none=True)
    recipe = make_recipe(**fields)
    perturbation.check_recipe(recipe)
    check_smoother(recipe, given)
    if recipe.checkpoint is None:
        return recipe
    where = "model" if recipe.is_checkpoint(recipe.model) else "weights"
    file, digest = _file_of(f"--{where}", recipe.checkpoint)
    return make_recipe(**fields | {where: file, "checkpoint_sha256": digest})


def _file_of(flag: str, name: str) -> tuple[str, str]:
    """The full path of a file of weights, and the sha256 of its bytes."""
    file = Path(os.path.abspath(os.path.expanduser(name)))
    try:
        check_file(file)
        with file.open("rb") as opened:
            return str(file), hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise WrongUse(f"{flag} {file}: {error.strerror}; name a .safetensors, .pth or .pt file") from None


def _smoother_fields(given: str) -> dict[str, str]:
    """The fields that `--smoother NAME` or `--smoother NAME:FILE` sets."""
    from worker.smoothers import SMOOTHERS

    name, colon, file = given.partition(":")
    takes_file = SMOOTHERS.find(name).takes_file
    if takes_file and not file:
        raise WrongUse(f"--smoother {name}: name the file of its weights, as {name}:FILE.safetensors")
    if colon and not takes_file:
        raise WrongUse(f"--smoother {given}: {name} takes no file; leave out what follows its name")
    if not takes_file:
        return {"smoother": name}
    path, digest = _file_of(f"--smoother {name}:", file)
    return {"smoother": name, "smoother_file": path, "smoother_sha256": digest}


def split_pairs(pairs: Collection[str]) -> dict[str, Any]:
    """Names and values of `--option NAME=VALUE`.

    Raises:
        WrongUse: for a pair without an equals sign.
    """
    for pair in pairs:
        if "=" not in pair:
            raise WrongUse(f"--option {pair}: write NAME=VALUE, as steps=20")
    parts = [pair.partition("=") for pair in pairs]
    return {name.strip().replace("-", "_"): value.strip() for name, _, value in parts}


def find_perturbation(name: str) -> "Perturbation":
    """The perturbation of this name.

    Raises:
        WrongUse: if there is none; the message names those there are.
    """
    # Imported here and not above: `smoothvote --help` does not need it.
    from worker.perturbations import PERTURBATIONS

    return PERTURBATIONS.find(name)


def job_size_of(recipe: Recipe, given: int | None) -> "JobSize":
    """How many images a job has, where nothing is measured as few as suit a perturbation that takes long."""
    from producer.job_size import USUAL, JobSize

    return JobSize(given, find_perturbation(recipe.perturbation).job_size or USUAL)


def axis_of(recipe: Recipe) -> Axis:
    """What the levels of a recipe measure: the run records it."""
    return find_perturbation(recipe.perturbation).axis


def check_smoother(recipe: Recipe, given: Collection[str]) -> None:
    """Refuses an unknown smoother, and a kernel flag that would change nothing: it would make two runs of one.

    Args:
        recipe: names the smoother.
        given: the fields that were set by flags.

    Raises:
        WrongUse: naming the smoothers there are, or the flag.
    """
    from worker.smoothers import SMOOTHERS

    smoother = SMOOTHERS.find(recipe.smoother)
    for field in ("kernel_size", "kernel_sigma"):
        if field in given and field not in smoother.uses:
            raise WrongUse(f"--{field.replace('_', '-')}: the smoother {smoother.name} does not use it; leave it out")


def read_classes(file: Path) -> tuple[str, ...]:
    """The class names in a text file, one a line.

    Raises:
        WrongUse: if the file cannot be read or is too large, names a class twice, or names fewer than two.
    """
    try:
        check_text(file, most=LARGEST_CLASSES)
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WrongUse(f"--classes {file}: {why}; give a text file of class names, one a line") from None
    if len(names) < 2 or len(set(names)) != len(names):
        raise WrongUse(f"--classes {file}: needs two class names or more, one a line, each once")
    return names
