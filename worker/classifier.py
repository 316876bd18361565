"""The classifier: a model on a device, from views in [0, 1] to top labels and their softmax probabilities.

It is a cascade: a fast engine (OpenVINO in bfloat16, say) answers first. Its logits differ a little from those of
eager fp32. Where its two largest logits are close, its top label may not be fp32's, and a slower, more exact engine
decides. The labels are those of eager fp32, and most views cost only the fast engine's time.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.found import Computer
from db.recipe import Preprocessing
from worker.engines import Eager, Engine
from worker.memory import PassSize, ran_out

#: Beginnings of the errors of CUDA and its libraries.
DEVICE_ERRORS = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS", "CUSPARSE", "CUFFT")
#: Errors of a device that this build of PyTorch does not support; a new process would meet them again.
MISFITS = ("no kernel image", "invalid device function", "NOT_SUPPORTED", "ARCH_MISMATCH")
#: Errors that oneDNN, PyTorch's library for CPUs, repeats for ever once memory ran out at the wrong moment.
ONEDNN_ERRORS = ("could not create a primitive", "could not execute a primitive")

#: Views in a forward pass of the later engines of a cascade. They get few views, and a larger pass would be mostly
#: padding.
CLOSE_BATCH = {"cpu": 1, "cuda": 32}


class DeviceLost(Exception):
    """The device met an error, such as an illegal address, after which this process cannot use it.

    A CUDA context answers nothing after such an error: a new process must take this one's place.
    """


class Answers(NamedTuple):
    """The answers for N views, on the CPU."""

    #: (N,) int64: the top label.
    labels: torch.Tensor
    #: (N,) float32: its softmax probability.
    confidences: torch.Tensor
    #: (N,) bool: the two largest logits are closer than the engine's bound, so that eager fp32 may have another label.
    close: torch.Tensor


class Stage(NamedTuple):
    """One engine of a cascade."""

    engine: Engine
    #: The smallest margin, largest logit minus second largest, at which the engine's top label is taken for eager
    #: fp32's (worker/bounds.py measures it). With 0 every label is taken.
    bound: float


class Classifier:
    """A model on a device, run by a cascade of engines.

    Args:
        preprocessing: says how the model's views are resized and cropped.
        weights_sha256: identity of the model's weights.
        cascade: the engines, the fastest first; each gets the views that were close for the one before it.
        plain: eager fp32, the engine that ``predict_plainly`` asks.
        device: the device of all engines.
        batch_size: views in a forward pass of the first engine.
        lanes: number of threads that may call ``predict`` at a time.
        threads: number of threads that PyTorch may use in each lane.
    """

    def __init__(
        self, preprocessing: Preprocessing, weights_sha256: str, cascade: Sequence[Stage], plain: Eager, *,
        device: torch.device, batch_size: int, lanes: int = 1, threads: int = 1,
    ) -> None:  # fmt: skip
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256
        self.cascade = cascade
        self.device = device
        #: As configured. If memory is short, forward passes are smaller.
        self.batch_size = batch_size
        self.lanes, self.threads = lanes, threads
        #: Called after each forward pass. A worker shows by it that it is alive.
        self.after_pass: Callable[[], None] = lambda: None
        self._eager, self._plain = plain, Stage(plain, 0)
        #: Number of views that each engine got, by its name.
        self.asked: Counter[str] = Counter()
        self._counting = Lock()
        self._size, self._close_size = PassSize(batch_size), PassSize(CLOSE_BATCH[device.type])
        # One forward pass keeps a GPU busy; two at a time would only take twice the memory.
        self._turn: AbstractContextManager[object] = Lock() if device.type == "cuda" else nullcontext()

    @property
    def network(self) -> nn.Module:
        """The model in fp32 on its device, (N, 3, crop, crop) views in [0, 1] to (N, classes) logits, for an attack."""
        return self._eager.network

    @property
    def computer(self) -> Computer:
        """The device and the engines, for the record."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)
        return Computer(device, ", then ".join(stage.engine.name for stage in self.cascade))

    @torch.inference_mode()
    def predict(self, views: torch.Tensor) -> Answers:
        """Predicts views, by all stages of the cascade.

        Every forward pass of an engine has the same number of views, with padding if need be: libraries choose kernels
        by shape, kernels differ in the last bits, and an answer must not depend on the other views of its batch. The
        number changes only when memory runs out.

        Args:
            views: (N, 3, crop, crop) in [0, 1].

        Raises:
            Refusal: if memory does not hold a single view, or this device cannot run the model.
            DeviceLost: if this process cannot use the device any more.
        """
        first, *others = self.cascade
        answers = self._ask(first, views, self._size)
        for other in others:
            undecided = answers.close.nonzero().flatten()
            if len(undecided):
                better = self._ask(other, views[undecided.to(views.device)], self._close_size)
                for column, value in zip(answers, better, strict=True):
                    column[undecided] = value
        return answers

    @torch.inference_mode()
    def predict_plainly(self, views: torch.Tensor) -> Answers:
        """Predicts views by eager fp32 alone: the few that the cascade leaves close.

        Raises:
            Refusal, DeviceLost: as ``predict``.
        """
        return self._ask(self._plain, views, self._close_size)

    def _ask(self, stage: Stage, views: torch.Tensor, size: PassSize) -> Answers:
        """The answers of one stage, in as many forward passes as it takes."""
        found: list[Answers] = []
        rest = views
        with self.device_errors():
            while len(rest):
                tried = size.current
                answers = self._tried(stage, rest[:tried], tried)
                if answers is None:
                    self._go_on_with_less(size, tried)
                    continue
                found.append(answers)
                self.after_pass()
                rest = rest[len(answers.labels) :]
                size.passed()
        with self._counting:
            self.asked[stage.engine.name] += len(views)
        return Answers(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _tried(self, stage: Stage, batch: torch.Tensor, size: int) -> Answers | None:
        """The answers of one forward pass, or None if memory does not hold it.

        None instead of an exception, whose traceback would keep the tensors of this pass in memory during the next.
        """
        try:
            return self._answer(stage, batch, size)
        except (RuntimeError, MemoryError) as error:
            if ran_out(error):
                return None
            raise

    def _answer(self, stage: Stage, batch: torch.Tensor, size: int) -> Answers:
        """The answers of one forward pass of ``size`` views; a smaller batch is padded."""
        padded = batch.to(self.device, non_blocking=True)
        if len(batch) < size:
            padded = torch.cat([padded, padded.new_zeros(size - len(batch), *batch.shape[1:])])
        with self._turn:
            logits = stage.engine.logits(padded)[: len(batch)]
        confidences, labels = logits.softmax(dim=1).max(dim=1)  # (N, classes) → (N,)
        top = logits.topk(min(2, logits.shape[1]), dim=1).values
        margins = top[:, 0] - top[:, -1]
        if stage.bound and logits.shape[1] > 1:
            # Logits that overflowed in half precision may have a large margin; their confidence is not finite.
            close = (margins < stage.bound) | ~confidences.isfinite()
        else:
            close = torch.zeros_like(margins, dtype=torch.bool)
        return Answers(labels.cpu(), confidences.cpu(), close.cpu())

    def _go_on_with_less(self, size: PassSize, tried: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if not size.halve(tried):
            raise Refusal(
                f"out of memory on {self.device} at one view a pass: end other programs that use it, or take a smaller model"
            )

    @contextmanager
    def device_errors(self) -> Iterator[None]:
        """Explains a device's errors. Belongs around every use of it: CUDA reports an error at some later call.

        Raises:
            Refusal: if this device cannot run the model.
            DeviceLost: if this process cannot use the device any more.
        """
        try:
            yield
        except RuntimeError as error:
            said = str(error)
            if any(sign in said for sign in MISFITS):
                raise Refusal(f"{self.device} cannot run this model: {one_line(error)}") from None
            ran_short = self._size.ran_short or self._close_size.ran_short
            of_onednn = ran_short and any(sign in said for sign in ONEDNN_ERRORS)
            if of_onednn or isinstance(error, torch.AcceleratorError) or any(sign in said for sign in DEVICE_ERRORS):
                raise DeviceLost(f"{self.device}: {one_line(error)}") from error
            raise


def choose_device(wanted: str) -> str:
    """Chooses the device of this process: "cpu" or "cuda:N".

    Args:
        wanted: auto, cpu, cuda or cuda:N. auto takes the first GPU if there is one.
    """
    if wanted not in ("auto", "cuda"):
        return wanted
    return "cuda:0" if torch.cuda.is_available() else wanted.replace("auto", "cpu")
