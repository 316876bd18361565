"""Engines: the ways to run a network on a device, from views in [0, 1] to logits."""

import fcntl
import hashlib
import logging
import os
import queue
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import torch
from torch import nn

from db.recipe import Preprocessing

logger = logging.getLogger("worker")


class Engine(Protocol):
    """Computes logits. Any number of threads may share it."""

    #: For logs.
    name: str

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """Computes (N, classes) float32 logits of (N, 3, crop, crop) views on its device.

        For a given N, the logits of a view are the same to the last bit, whatever the other views are.
        """


class Normalised(nn.Module):
    """A network that normalises its views first. Noise is added to pixels in [0, 1], that is, before this."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        """(N, 3, crop, crop) views in [0, 1] to (N, classes) logits."""
        logits: torch.Tensor = self.network((views - self.mean) / self.std)
        return logits


class Eager:
    """PyTorch, operation by operation. Works for every model and device.

    Args:
        network: on the device, in channels-last memory format.
        device: the network's.
        low: a type of lower precision for the operations that tolerate it (autocast); None computes in float32.
    """

    def __init__(self, network: nn.Module, device: torch.device, low: torch.dtype | None = None) -> None:
        self.name = f"eager {short_name(low)}"
        self.network, self._device, self._low = network, device, low

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """See Engine."""
        views = views.contiguous(memory_format=torch.channels_last)
        with torch.autocast(self._device.type, dtype=self._low, enabled=self._low is not None):
            logits: torch.Tensor = self.network(views)
        return logits.float()


class Compiled(Eager):
    """PyTorch with ``torch.compile``. The first forward pass compiles the network, which takes about a minute."""

    def __init__(self, network: nn.Module, device: torch.device, low: torch.dtype | None = None) -> None:
        super().__init__(torch.compile(network, dynamic=False), device, low)  # type: ignore[arg-type]
        self.name = f"compile {short_name(low)}"
        self._once = Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """See Engine."""
        with self._once:  # PyTorch's compiler may not be used by two threads at a time
            return super().logits(views)


class OpenVino:
    """OpenVINO on the CPU. Each lane has a forward pass of its own, so that several run at a time.

    Args:
        model: as ``convert`` returns it.
        precision: "f32" or "bf16".
        lanes: number of threads that may call ``logits`` at a time.
        threads: number of threads that OpenVINO may use for all lanes together.
    """

    def __init__(self, model: Any, precision: str, *, lanes: int, threads: int) -> None:
        self.name = f"openvino {precision}"
        self._model = model
        self._options = {
            "INFERENCE_PRECISION_HINT": precision,
            "NUM_STREAMS": lanes,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
            # With pinning, every process binds its threads to the same first cores, and a second worker adds nothing.
            "ENABLE_CPU_PINNING": False,
        }
        self._lanes = lanes
        self._requests: dict[tuple[int, ...], queue.LifoQueue[Any]] = {}
        self._once = Lock()

    def logits(self, views: torch.Tensor) -> torch.Tensor:
        """See Engine."""
        with self._request(tuple(views.shape)) as request:
            found = request.infer([views.contiguous().numpy()], share_inputs=True)
            return torch.from_numpy(found[0].copy()).float()

    @contextmanager
    def _request(self, shape: tuple[int, ...]) -> Iterator[Any]:
        """Lends an inference request for a shape: there is one for each lane, and the last used one is warm."""
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
    """Imports the openvino package without its telemetry, which would report each conversion to Intel.

    A worker connects to its queue, its database and its images, and to nothing else.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino as package

    return package


def convert(network: nn.Module, crop: int, file: Path | None) -> Any:
    """Converts a network to an OpenVINO model for any number of views.

    Args:
        network: eager, on the CPU.
        crop: height and width of a view, in pixels.
        file: the file to keep the model in. If it is there from an earlier conversion, it is read instead. None keeps
            nothing.

    Raises:
        Exception: of any class, if PyTorch cannot export the network, or OpenVINO cannot convert it.
    """
    if file is None:
        return _converted(network, crop)
    if not _is_whole(file):
        with _in_turn(file.parent):
            if not _is_whole(file):
                model = _converted(network, crop)
                try:
                    _keep(model, file)
                except (OSError, RuntimeError) as error:
                    logger.info("cannot keep the converted model in %s: %s", file.parent, error)
                return model
    return openvino().Core().read_model(file)


def _converted(network: nn.Module, crop: int) -> Any:
    sample = torch.rand(2, 3, crop, crop)
    exported = torch.export.export(network, (sample,), dynamic_shapes=({0: torch.export.Dim("views")},))
    return openvino().convert_model(exported)


@contextmanager
def _in_turn(folder: Path) -> Iterator[None]:
    """Lets one process at a time convert models for a folder: it needs all cores, and others read what it keeps."""
    with ExitStack() as stack:
        with suppress(OSError):  # a folder that cannot be written to, or a file system without locks
            folder.mkdir(parents=True, exist_ok=True)
            opened = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, opened)
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _keep(model: Any, file: Path) -> None:
    with tempfile.TemporaryDirectory(dir=file.parent) as made:
        new = Path(made, file.name)
        openvino().save_model(model, new, compress_to_fp16=False)
        new.with_suffix(".sha256").write_text(_sum_of(new))
        for suffix in (".bin", ".xml", ".sha256"):
            os.replace(new.with_suffix(suffix), file.with_suffix(suffix))


def _is_whole(file: Path) -> bool:
    """Whether a kept model is complete: two machines may have written it at once, or a worker was killed meanwhile."""
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
    """Whether OpenVINO can compute in bfloat16 on this CPU. Where it cannot, it silently computes in float32."""
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def fast_bf16() -> bool:
    """Whether this CPU has AMX, with which it multiplies bfloat16 matrices six times as fast as float32 ones.

    AVX-512 alone can use bfloat16 too, but is only about twice as fast.
    """
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def short_name(low: torch.dtype | None) -> str:
    """The short name of a precision, as in "eager bf16"."""
    return {None: "f32", torch.bfloat16: "bf16", torch.float16: "f16"}[low]
