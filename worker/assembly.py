"""Assembly: builds the classifier of a recipe from the engines that are fastest on a device."""

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
from worker.classifier import CLOSE_BATCH, Classifier, Stage
from worker.engines import Compiled, Eager, Engine, Normalised, OpenVino, convert, fast_bf16, native_bf16
from worker.graphed import Graphed
from worker.lanes import spread
from worker.memory import ran_out
from worker.models import Model, load

logger = logging.getLogger("worker")

#: The most views in a forward pass. The number for CPUs was the fastest in measurements. That for GPUs is not measured;
#: with it, a job of 64 images at four levels fills one pass in each of 8 lanes, and seven decode while one computes.
BATCH_SIZE = {"cpu": 6, "cuda": 96}
#: The most lanes: threads that prepare images and run the model.
MOST_LANES = {"cpu": 16, "cuda": 8}


class Place(NamedTuple):
    """The device that a classifier runs on, and its share of the machine."""

    device: torch.device
    batch_size: int
    lanes: int
    threads: int


def make_classifier(
    recipe: Recipe, *, device: str, engine: str = "auto", batch_size: int | None = None, home: Path | None = None
) -> Classifier:
    """Builds the classifier of a recipe.

    Args:
        recipe: names the model; the levels of a vote say how many views an image has.
        device: cpu or cuda:N.
        engine: auto, eager, openvino, compile or graph.
        batch_size: the most views in a forward pass; None takes a default by device.
        home: the folder to keep converted models in, or None.

    Raises:
        Refusal: if the model or its weights are missing, or do not run on this device or by this engine.
    """
    model = load(recipe)
    try:
        # The copies of a certificate fill passes of any size (worker/copies.py).
        views = 1 if recipe.certifies else len(recipe.levels) * len(VIEWS)
        place = _place(torch.device(device), views, batch_size)
        network = Normalised(model.network, model.preprocessing).eval().to(place.device)
        network = network.to(memory_format=torch.channels_last)
    except (RuntimeError, AssertionError) as error:
        # PyTorch's errors for a device that is missing or full.
        raise Refusal(
            f"cannot run {recipe.model} on {device}: {one_line(error)}; SMOOTHVOTE_DEVICE=cpu always works"
        ) from None
    if place.device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # TF32 has 10 bits of mantissa; exact means fp32's answers
    plain = Eager(network, place.device)
    engines = _engines(recipe, model, network, place, engine, home)
    cascade = _cascade(engines, plain, recipe, model.preprocessing, place, engine)
    return Classifier(
        model.preprocessing, model.weights_sha256, cascade, plain,
        device=place.device, batch_size=place.batch_size, lanes=place.lanes, threads=place.threads,
    )  # fmt: skip


def _place(device: torch.device, views: int, batch_size: int | None) -> Place:
    """Chooses batch size and lanes for a device, if ``views`` views belong into one pass, or equal parts of them."""
    most = batch_size or BATCH_SIZE[device.type]
    # Whole images, or equal parts of one, so that no pass needs padding.
    size = most // views * views if views <= most else math.ceil(views / math.ceil(views / most))
    threads = torch.get_num_threads()
    lanes = min(threads, MOST_LANES[device.type])
    return Place(device, size, lanes, max(1, threads // lanes))


def _engines(
    recipe: Recipe, model: Model, network: nn.Module, place: Place, wanted: str, home: Path | None
) -> list[Engine]:
    """The engines that answer before eager fp32, the fastest first; for a recipe that is not exact, its one engine.

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
            # PyTorch's export and OpenVINO fail in many ways on models that eager PyTorch runs well.
            if wanted == "openvino":
                raise Refusal(f"the engine openvino cannot run {recipe.model}: {one_line(error)}") from None
            logger.warning("OpenVINO cannot convert %s, which runs eagerly: %s", recipe.model, one_line(error))
        else:
            # bfloat16 leaves a third of all views to the next engine, which pays only if it is much faster.
            precisions = (["bf16", "f32"] if fast_bf16() else ["f32"]) if exact else ["bf16"]
            return [
                OpenVino(converted, precision, lanes=place.lanes, threads=place.lanes * place.threads)
                for precision in precisions
            ]
    if wanted == "graph" and on_cpu:
        raise Refusal("the engine graph is for GPUs: SMOOTHVOTE_ENGINE=auto takes the best for each device")
    make = {"compile": Compiled, "graph": Graphed}.get(wanted, Eager)
    if not exact:
        return [make(network, place.device, torch.bfloat16)]
    if not on_cpu and wanted != "eager":
        return [make(network, place.device, torch.float16)]
    return [Compiled(network, place.device)] if wanted == "compile" else []


def _cascade(
    engines: list[Engine], plain: Engine, recipe: Recipe, preprocessing: Preprocessing, place: Place, wanted: str
) -> list[Stage]:
    """The engines with their measured bounds; eager fp32 comes last, unless the engine before it is as exact."""
    if recipe.precision != "exact":
        return [Stage(engines[0], 0)]
    if not engines:
        return [Stage(plain, SMALLEST)]
    cascade: list[Stage] = []
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
            bound = bound_of(_logits_of(engine, views, close if cascade else place.batch_size, place), expected)
        except Exception as error:
            # An engine may convert a model and then fail to run it.
            if wanted != "auto":
                raise Refusal(f"the engine {wanted} cannot run {recipe.model}: {one_line(error)}") from None
            logger.warning("%s cannot run %s and is left out: %s", engine.name, recipe.model, one_line(error))
            continue
        logger.info("%s decides where the two largest logits are %.2g or more apart", engine.name, bound)
        cascade.append(Stage(engine, bound))
    if not cascade or cascade[-1].bound > SMALLEST:
        cascade.append(Stage(plain, SMALLEST))
    return cascade


def _logits_of(engine: Engine, views: torch.Tensor, batch_size: int, place: Place) -> torch.Tensor:
    """An engine's logits, computed in a lane with a lane's threads, as later in a job."""
    return next(spread(lambda one: logits_of(one, views, batch_size), [engine], lanes=1, threads=place.threads))


def _kept_at(home: Path | None, recipe: Recipe, model: Model) -> Path | None:
    """The file for a converted model, named by the hash of everything that the conversion depends on."""
    if home is None:
        return None
    seen = model.preprocessing  # of which resizing, before the network, changes nothing here
    made_of = [
        METHOD, recipe.arch or recipe.model, model.weights_sha256, seen.crop, seen.mean, seen.std,
        *(version(package) for package in ("openvino", "torch", "timm", "torchvision")),
    ]  # fmt: skip
    return home / "engines" / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()[:32]}.xml"
