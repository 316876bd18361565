"""Assembly: a classifier for a recipe, of the engines that are fastest on its device."""

import hashlib
import logging
import math
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.recipe import METHOD, VIEWS, Preprocessing, Recipe
from worker.bounds import SMALLEST, bound_of, logits_of, sample_views
from worker.classifier import CLOSE_BATCH, Classifier, Pass
from worker.engines import Compiled, Eager, Engine, Normalised, OpenVino, convert, fast_bf16, native_bf16
from worker.lanes import spread
from worker.memory import ran_out
from worker.models import Model, load

logger = logging.getLogger("worker")

#: Views of a forward pass, at most. On CPUs, what was the fastest. On GPUs, where nothing was measured, so few that a
#: job of 64 images at four levels has a pass for each of 8 lanes: seven decode while one computes.
BATCH_SIZE = {"cpu": 6, "cuda": 96}
#: Threads that prepare images and ask the model, at most.
MOST_LANES = {"cpu": 16, "cuda": 8}


class Place(NamedTuple):
    """Where a classifier is to run, and with what."""

    device: torch.device
    batch_size: int
    lanes: int
    threads: int


def make_classifier(
    recipe: Recipe, *, device: str, engine: str = "auto", batch_size: int | None = None, home: Path | None = None
) -> Classifier:
    """The classifier of a recipe.

    Args:
        recipe: for the model, and for the number of views an image has.
        device: cpu or cuda:N.
        engine: auto, eager, openvino or compile.
        batch_size: views of a forward pass, at most; None: by device.
        home: where converted models are kept, or None.

    Raises:
        Refusal: if its model or weights cannot be had, or not be put on the device, or run by that engine.
    """
    model = load(recipe)
    try:
        place = _place(torch.device(device), len(recipe.levels) * len(VIEWS), batch_size)
        network = Normalised(model.network, model.preprocessing).eval().to(place.device)
        network = network.to(memory_format=torch.channels_last)
    except (RuntimeError, AssertionError) as error:
        # What PyTorch raises for a device that is not there, or is full.
        raise Refusal(
            f"cannot run {recipe.model} on {device}: {one_line(error)}; SMOOTHVOTE_DEVICE=cpu always can"
        ) from None
    if place.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # exact is fp32's answers, not those of 10 bits of mantissa
    plain = Eager(network, place.device)
    engines = _engines(recipe, model, network, place, engine, home)
    passes = _passes(engines, plain, recipe, model.preprocessing, place, engine)
    return Classifier(
        model.preprocessing, model.weights_sha256, passes, plain,
        device=place.device, batch_size=place.batch_size, lanes=place.lanes, threads=place.threads,
    )  # fmt: skip


def _place(device: torch.device, views: int, batch_size: int | None) -> Place:
    """How a device's threads and memory are shared out, for images of so many views."""
    most = batch_size or BATCH_SIZE[device.type]
    # Whole images, or equal parts of one: nothing is filled up with what nobody asked for.
    size = most // views * views if views <= most else math.ceil(views / math.ceil(views / most))
    threads = torch.get_num_threads()
    lanes = min(threads, MOST_LANES[device.type])
    return Place(device, size, lanes, max(1, threads // lanes))


def _engines(
    recipe: Recipe, model: Model, network: nn.Module, place: Place, wanted: str, home: Path | None
) -> list[Engine]:
    """The engines to ask before eager fp32, in order; or, where the recipe is not exact, the one to ask.

    The device alone decides which (docs/explanation/performance.md): a worker that timed them when it starts, while
    others start on the same cores, would choose by chance.
    """
    on_cpu, exact = place.device.type == "cpu", recipe.precision == "exact"
    if wanted == "openvino":
        if not on_cpu:
            raise Refusal("the engine openvino is for CPUs: SMOOTHVOTE_ENGINE=auto takes the best for each device")
        if not find_spec("openvino"):
            raise Refusal("the engine openvino is not installed here: pip install 'smoothvote[openvino]'")
        if not exact and not native_bf16():
            raise Refusal("the engine openvino does not compute in bfloat16 on this CPU; --precision exact needs none")
    if on_cpu and wanted in ("auto", "openvino") and find_spec("openvino") and (exact or native_bf16()):
        try:
            converted = convert(network, model.preprocessing.crop, _kept_at(home, recipe, model))
        except Exception as error:
            # Whatever PyTorch's export, or OpenVINO, cannot do with a model that eager runs well.
            if wanted == "openvino":
                raise Refusal(f"the engine openvino cannot run {recipe.model}: {one_line(error)}") from None
            logger.warning("%s is not for OpenVINO, and runs eagerly: %s", recipe.model, one_line(error))
        else:
            # To give a third of all views to the next engine, bfloat16 must be much faster than it.
            precisions = (["bf16", "f32"] if fast_bf16() else ["f32"]) if exact else ["bf16"]
            return [
                OpenVino(converted, precision, lanes=place.lanes, threads=place.lanes * place.threads)
                for precision in precisions
            ]
    make = Compiled if wanted == "compile" else Eager
    if not exact:
        return [make(network, place.device, torch.bfloat16)]
    if not on_cpu and wanted != "eager":
        return [make(network, place.device, torch.float16)]
    return [Compiled(network, place.device)] if wanted == "compile" else []


def _passes(
    engines: list[Engine], plain: Engine, recipe: Recipe, preprocessing: Preprocessing, place: Place, wanted: str
) -> list[Pass]:
    """Each engine with its bound, and eager fp32 at the end where they leave it more than ties."""
    if recipe.precision != "exact":
        return [Pass(engines[0], 0)]
    if not engines:
        return [Pass(plain, SMALLEST)]
    passes: list[Pass] = []
    views = sample_views(preprocessing, place.device)
    close = CLOSE_BATCH[place.device.type]
    try:
        expected = _logits_of(plain, views, close, place)
    except (RuntimeError, MemoryError) as error:
        if ran_out(error):
            raise Refusal(f"not enough memory on {place.device} for {recipe.model}: {one_line(error)}") from None
        raise
    for engine in engines:
        try:
            bound = bound_of(_logits_of(engine, views, close if passes else place.batch_size, place), expected)
        except Exception as error:
            # A model may be one that an engine converts, and then cannot run.
            if wanted != "auto":
                raise Refusal(f"the engine {wanted} cannot run {recipe.model}: {one_line(error)}") from None
            logger.warning("%s cannot run %s, and is not asked: %s", engine.name, recipe.model, one_line(error))
            continue
        logger.info("%s decides where the margin is %.2g or more", engine.name, bound)
        passes.append(Pass(engine, bound))
    if not passes or passes[-1].bound > SMALLEST:
        passes.append(Pass(plain, SMALLEST))
    return passes


def _logits_of(engine: Engine, views: torch.Tensor, batch_size: int, place: Place) -> torch.Tensor:
    """In a lane, since that is where it is to run, and with a lane's threads."""
    return next(spread(lambda one: logits_of(one, views, batch_size), [engine], lanes=1, threads=place.threads))


def _kept_at(home: Path | None, recipe: Recipe, model: Model) -> Path | None:
    """The file of a converted model: named by all that it is made of."""
    if home is None:
        return None
    made_of = [
        METHOD, recipe.arch or recipe.model, model.weights_sha256, str(model.preprocessing),
        *(version(package) for package in ("openvino", "torch", "timm", "torchvision")),
    ]  # fmt: skip
    return home / "engines" / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]}.xml"
