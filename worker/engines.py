"""Engines: ways to run a network on a device, from views in [0,1] to logits."""

import hashlib
import logging
import os
import queue
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch
from torch import nn

from db.recipe import Preprocessing

logger = logging.getLogger("worker")


class Engine(Protocol):
    """Computes logits. Any number of threads may ask it at the same time."""

    #: As logs call it.
    name: str

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """(N, classes) float32 of (N, 3, crop, crop) views on its device.

        Asked for the same N, it computes a view to the same bits, whatever the others are.
        """


class Normalised(nn.Module):
    """A network behind its normalisation: noise is added in [0,1] pixels, so that this comes after it."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """(N, 3, crop, crop) in [0,1] to (N, classes)."""
        logits: torch.Tensor = self.network((views - self.mean) / self.std)
        return logits


class Eager:
    """PyTorch, operation by operation: works for every model and device.

    Args:
        network: on its device, channels last.
        low: the type that what bears it is computed in, instead of float32.
    """

    def __init__(self, network: nn.Module, device: torch.device, low: torch.dtype | None = None) -> None:
        self.name = f"eager {short_name(low)}"
        self.network, self._device, self._low = network, device, low

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """As Engine."""
        views = views.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=self._low, enabled=self._low is not None):
            logits: torch.Tensor = self.network(views)
        return logits.float()


class Compiled(Eager):
    """The same, compiled by PyTorch at the first pass, which then takes a minute or so."""

    def __init__(self, network: nn.Module, device: torch.device, low: torch.dtype | None = None) -> None:
        super().__init__(torch.compile(network, dynamic=False), device, low)  # type: ignore[arg-type]
        self.name = f"compile {short_name(low)}"
        self._once = Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """As Engine."""
        with self._once:  # the compiler is not made for threads
            return super().logits(views)


class OpenVino:
    """OpenVINO, on the CPU: one thread a pass, and as many passes at a time as there are lanes.

    Args:
        model: as ``convert`` gives it.
        precision: "f32" or "bf16".
        lanes: how many threads will ask at a time.
        threads: how many threads all of them may take together.
    """

    def __init__(self, model: Any, precision: str, *, lanes: int, threads: int) -> None:
        self.name = f"openvino {precision}"
        self._model = model
        self._options = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": lanes,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            # Each process would pin its threads to the same first cores: a second worker here would add nothing.
            "ENABLE_CPU_PINNING": False,
        }
        self._lanes = lanes
        self._requests: dict[tuple[int, ...], queue.LifoQueue[Any]] = {}
        self._once = Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """As Engine."""
        with self._request(tuple(views.shape)) as request:
            found = request.infer([views.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(found[0].copy()).float()

    @contextmanager
    def _request(self, shape: tuple[int, ...]) -> Iterator[Any]:
        """One of the requests of a shape, the last used first: it is warm. There is one a lane, made at the first."""
        with self._once:
            if shape not in self._requests:
                self._requests[shape] = self._compile(shape)
        requests = self._requests[shape]
        request = requests.get()
        try:
            yield request
        finally:
            requests.put(request)

    def _compile(self, shape: tuple[int, ...]) -> "queue.LifoQueue[Any]":
        model = self._model.clone()
        model.reshape(list(shape))
        compiled = openvino().Core().compile_model(model, "CPU", self._options)
        requests: queue.LifoQueue[Any] = queue.LifoQueue()
        for _ in range(self._lanes):
            requests.put(compiled.create_infer_request())
        return requests


def openvino() -> Any:
    """The package, without the one beside it that tells OpenVINO's makers of each conversion.

    A worker calls its queue, its database and its images, and nobody else.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as where it is not installed
    import openvino as package

    return package


def convert(network: nn.Module, crop: int, file: Path | None) -> Any:
    """A network as OpenVINO's model, for any number of views: from the file where it was kept, or anew.

    Raises:
        Exception: of whatever kind, if PyTorch cannot export this network, or OpenVINO not take it.
    """
    if file and _is_whole(file):
        return openvino().Core().read_model(file)
    sample = torch.rand(2, 3, crop, crop)
    exported = torch.export.export(network, (sample,), dynamic_shapes=({0: torch.export.Dim("views")},))
    model = openvino().convert_model(exported)
    if file:
        try:
            _keep(model, file)
        except (OSError, RuntimeError) as error:
            logger.info("%s: the converted model is not kept: %s", file.parent, error)
    return model


def _keep(model: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as made:
        new = Path(made, file.name)
        openvino().save_model(model, new, compress_to_fp16=False)
        new.with_suffix(".sha256").write_text(_sum_of(new))
        for suffix in (".bin", ".xml", ".sha256"):
            os.replace(new.with_suffix(suffix), file.with_suffix(suffix))


def _is_whole(file: Path) -> bool:
    """Whether a kept model is as it was made: two workers may write it at once, be killed, or lose their power."""
    try:
        return file.with_suffix(".sha256").read_text() == _sum_of(file)
    except (OSError, ValueError):
        return False


def _sum_of(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes())
    with file.with_suffix(".bin").open("rb") as weights:
        digest.update(hashlib.file_digest(weights, "sha256").digest())
    return digest.hexdigest()


def native_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU when told to: where it cannot, it takes float32 in silence."""
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def fast_bf16() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 many times as fast as of float32: with Intel's AMX, six times.

    AVX-512 alone computes in bfloat16 too, about twice as fast.
    """
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def short_name(low: torch.dtype | None) -> str:
    """As in "eager bf16"."""
    return {None: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[low]
