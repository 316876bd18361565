"""The flags that make a recipe, shared by every command that takes one."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from db.article import PRESET
from db.errors import WrongUse
from db.recipe import DEFAULT_MODEL, Recipe, make_recipe

Command = Callable[..., Any]


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers between commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """As click asks of a parameter's type."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers between commas, as 0,0.125,0.25", param, ctx)


#: Recipe fields and the flags that set them. None is "not given": the preset's value, or the recipe's default.
RECIPE_FLAGS = (
    click.option("--model", help=f"torchvision/NAME[@WEIGHTS], timm/NAME, efficientnet_lite0 (bundled), or a checkpoint with --arch.  [default: {DEFAULT_MODEL}]"),
    click.option("--weights", help="A torchvision weights name, or a .safetensors or .pth file for --model."),
    click.option("--arch", help="Architecture of a checkpoint: torchvision/NAME or timm/NAME."),
    click.option("--classes", type=click.Path(path_type=Path), help="Class names, one a line, in the order of the model's outputs.  [default: ImageNet-1k]"),
    click.option("--levels", type=Numbers(), metavar="σ,σ,…", help="Noise levels in [0,1] pixel units.  [default: 0,0.125,0.25,0.375]"),
    click.option("--kernel-size", type=int, metavar="N", help="Side of the smoothing kernel, odd.  [default: 5]"),
    click.option("--kernel-sigma", type=float, metavar="S", help="Its standard deviation in pixels.  [default: 1.0]"),
    click.option("--seed", type=int, metavar="N", help="Of the noise.  [default: 0]"),
    click.option("--resize", type=int, metavar="N", help="Short side before the crop.  [default: the weights' own]"),
    click.option("--crop", type=int, metavar="N", help="Side of the centre crop.  [default: the weights' own]"),
    click.option("--interpolation", type=click.Choice(["bilinear", "bicubic"]), help="[default: the weights' own]"),
    click.option("--antialias/--no-antialias", default=None, help="When resizing.  [default: the weights' own]"),
    click.option("--mean", type=Numbers(), metavar="R,G,B", help="Normalisation.  [default: the weights' own]"),
    click.option("--std", type=Numbers(), metavar="R,G,B", help="Normalisation.  [default: the weights' own]"),
    click.option("--grayscale", type=click.Choice(["convert", "skip"]), help="What becomes of grey images.  [default: convert]"),
    click.option("--precision", type=click.Choice(["exact", "bf16"]), help="exact: the labels of fp32.  [default: exact]"),
    click.option("--preset", type=click.Choice(["article"]), help="The article's recipe: its levels, 5×5 σ 1, 256/224 bilinear without antialias, grey skipped."),
)  # fmt: skip


def recipe_flags(command: Command) -> Command:
    """Gives a command the flags of a recipe; its parameters are handed to ``recipe_from``."""
    for flag in reversed(RECIPE_FLAGS):
        command = flag(command)
    return command


def recipe_from(*, preset: str | None, classes: Path | None, **given: Any) -> Recipe:
    """The recipe that the flags describe: what was given, over the preset, over the defaults.

    Raises:
        WrongUse: for values that do not fit, or a file that is not there.
    """
    fields = (PRESET if preset else {}) | {name: value for name, value in given.items() if value is not None}
    if classes:
        fields["classes"] = read_classes(classes)
    recipe = make_recipe(**fields)
    if recipe.checkpoint is None:
        return recipe
    where = "model" if recipe.is_checkpoint(recipe.model) else "weights"
    file = Path(os.path.abspath(os.path.expanduser(recipe.checkpoint)))
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise WrongUse(f"--{where} {file}: {error.strerror}; name a .safetensors or .pth file") from None
    return make_recipe(**fields | {where: str(file), "checkpoint_sha256": digest})


def read_classes(file: Path) -> tuple[str, ...]:
    """Class names of a text file, one a line.

    Raises:
        WrongUse: if it cannot be read, or names a class twice, or fewer than two.
    """
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WrongUse(f"--classes {file}: {why}; give a text file of class names, one a line") from None
    if len(names) < 2 or len(set(names)) != len(names):
        raise WrongUse(f"--classes {file}: needs two class names or more, one a line, each once")
    return names
