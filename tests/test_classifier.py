"""A classifier that runs out of memory (the tests really exhaust it), or whose device breaks."""

import logging
import multiprocessing
import resource
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import nn

from db.errors import Refusal
from db.recipe import Preprocessing
from worker.classifier import Classifier, DeviceLost, Stage
from worker.engines import Eager, Normalised
from worker.memory import GROW_AFTER

PLAIN = Preprocessing(resize=8, crop=8, interpolation="bilinear", antialias=False, mean=(0, 0, 0), std=(1, 1, 1))
CPU = torch.device("cpu")
MB = 2**20


class Hungry(nn.Module):
    """Takes 64 MB for each view, and remembers the number of views of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.tried: list[int] = []

    def tried_so_far(self) -> list[int]:
        tried, self.tried = self.tried, []
        return tried

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(batch))
        torch.empty(len(batch), 64 * MB, dtype=torch.uint8)
        return batch.mean(dim=(2, 3))


class Failing(nn.Module):
    """Raises one error in each call, until none is left; then it works."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.tried: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.tried.append(len(batch))
        if self.errors:
            raise self.errors.pop(0)
        return batch.mean(dim=(2, 3))


def classifier(network: nn.Module, batch_size: int) -> Classifier:
    plain = Eager(Normalised(network, PLAIN), CPU)
    return Classifier(PLAIN, "0" * 64, [Stage(plain, 0)], plain, device=CPU, batch_size=batch_size)


def views(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))


@contextmanager
def memory_left(megabytes: int) -> Iterator[None]:
    """Limits this process to so much more memory than it has."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + megabytes * MB, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


@contextmanager
def warnings_logged() -> Iterator[list[str]]:
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("worker").addHandler(handler)
    try:
        yield said
    finally:
        logging.getLogger("worker").removeHandler(handler)


@pytest.fixture(scope="module")
def process() -> Iterator[ProcessPoolExecutor]:
    """Another process, because a limit of memory would hit all tests in this one."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


class Recovery(NamedTuple):
    same: bool
    said: list[str]
    short: list[int]
    still_short: list[int]
    afterwards: list[int]


def go_short_and_recover() -> Recovery:
    network = Hungry()
    made = classifier(network, batch_size=8)
    expected = made.predict(views(20))
    network.tried_so_far()
    with warnings_logged() as said:
        with memory_left(400):  # 8 views take 512 MB, 4 take 256
            found = made.predict(views(20))
            short = network.tried_so_far()
            made.predict(views(4 * GROW_AFTER))
            still_short = network.tried_so_far()
        made.predict(views(4 * GROW_AFTER + 8))
    same = found.labels.equal(expected.labels) and found.confidences.allclose(expected.confidences)
    return Recovery(same, said, short, still_short, afterwards=network.tried)


def test_running_out_of_memory_halves_the_batch_and_changes_no_label(process: ProcessPoolExecutor) -> None:
    recovery = process.submit(go_short_and_recover).result()
    assert recovery.same
    assert recovery.said == ["out of memory at 8 views a pass: going on with 4"]
    assert recovery.short == [8, 4, 4, 4, 4, 4]
    assert recovery.still_short.count(8) == 1  # tried once more, in vain
    assert (recovery.afterwards[0], recovery.afterwards[-1]) == (4, 8)


def starve() -> tuple[str, list[str], list[int]]:
    network = Hungry()
    made = classifier(network, batch_size=5)
    made.predict(views(5))
    network.tried_so_far()
    with warnings_logged() as said, memory_left(40), pytest.raises(Refusal) as refused:
        made.predict(views(5))
    return str(refused.value), said, network.tried


def test_without_memory_for_one_view_the_job_is_refused_in_one_line(process: ProcessPoolExecutor) -> None:
    refused, said, tried = process.submit(starve).result()
    assert refused.startswith("out of memory on cpu at one view a pass: ")
    assert len(refused.splitlines()) == 1
    assert len(said) == 2
    assert tried == [5, 2, 1]


def starve_before_the_network() -> tuple[int, list[str]]:
    made = classifier(Failing(), batch_size=8)
    large = torch.rand(8, 3, 2048, 2048)  # 48 MB a view
    with warnings_logged() as said, memory_left(340):
        count = len(made.predict(large).labels)
    return count, said


def test_a_batch_that_memory_does_not_hold_is_halved_too(process: ProcessPoolExecutor) -> None:
    count, said = process.submit(starve_before_the_network).result()
    assert count == 8
    assert said[0] == "out of memory at 8 views a pass: going on with 4"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of …"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: …"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 19267584 bytes."),
        RuntimeError("std::bad_alloc"),
        MemoryError(),
    ],
)
def test_each_message_about_full_memory_halves_the_batch(error: Exception) -> None:
    network = Failing(error)
    assert len(classifier(network, batch_size=6).predict(views(6)).labels) == 6
    assert network.tried == [6, 3, 3]


def test_after_running_out_of_memory_all_forward_passes_have_one_shape_again() -> None:
    network = Failing(MemoryError())
    classifier(network, batch_size=7).predict(views(7))
    assert network.tried == [7, 3, 3, 3]


def test_the_batch_grows_back_to_the_configured_size_and_no_further() -> None:
    network = Failing(MemoryError(), MemoryError())
    made = classifier(network, batch_size=7)
    made.predict(views(7 * GROW_AFTER + 7))  # 64 passes of 1 view, of 2, and of 4
    assert list(dict.fromkeys(network.tried)) == [7, 3, 1, 2, 4]
    assert network.tried[-1] == 7
    assert made.batch_size == 7


def test_running_out_of_memory_again_while_growing_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    network = Failing(MemoryError())
    made = classifier(network, batch_size=4)
    made.predict(views(2 * GROW_AFTER))
    network.errors.append(MemoryError())
    made.predict(views(8))
    assert network.tried[-5:] == [4, 2, 2, 2, 2]
    assert [record.message for record in caplog.records] == ["out of memory at 4 views a pass: going on with 2"]


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors might be …"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        torch.AcceleratorError("HIP error: unspecified launch failure"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(…)`"),
    ],
)
def test_each_error_of_a_broken_device_is_recognised(error: Exception) -> None:
    with pytest.raises(DeviceLost) as lost:
        classifier(Failing(error), batch_size=2).predict(views(2))
    assert str(lost.value) == f"cpu: {str(error).splitlines()[0]}"


def test_an_error_of_onednn_means_a_broken_device_only_after_memory_ran_out() -> None:
    error = RuntimeError("could not create a primitive")
    with pytest.raises(RuntimeError, match="could not create a primitive"):
        classifier(Failing(error), batch_size=2).predict(views(2))
    with pytest.raises(DeviceLost):
        classifier(Failing(MemoryError(), error), batch_size=2).predict(views(2))


def test_a_device_that_this_pytorch_does_not_support_is_refused() -> None:
    error = torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device")
    with pytest.raises(Refusal, match="cpu cannot run this model: CUDA error: no kernel image"):
        classifier(Failing(error), batch_size=2).predict(views(2))


def test_an_error_of_the_network_itself_passes_unchanged() -> None:
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        classifier(Failing(RuntimeError("mat1 and mat2 shapes cannot be multiplied")), batch_size=2).predict(views(2))
