"""The classifier: a model on a device, from views in [0,1] to top labels and their softmax probabilities."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.recipe import Preprocessing
from worker.engines import Eager, Engine
from worker.memory import PassSize, ran_out

#: What CUDA and its libraries begin an error with.
DEVICE_ERRORS = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS", "CUSPARSE", "CUFFT")
#: Of these, what says that device and build of PyTorch do not fit: another process would only say it again.
MISFITS = ("no kernel image", "invalid device function", "NOT_SUPPORTED", "ARCH_MISMATCH")
#: What oneDNN, which computes on CPUs, says for ever once it ran out of memory at the wrong moment.
ONEDNN_ERRORS = ("could not create a primitive", "could not execute a primitive")

#: Views of a pass of the engines that only have the close ones to look at: a larger one would mostly be filled up.
CLOSE_BATCH = {"cpu": 1, "cuda": 32}


class DeviceLost(Exception):
    """The device met an error that this process does not get over, such as an illegal address.

    A CUDA context that met one answers nothing any more, whatever it is asked: the process must be replaced.
    """


class Answers(NamedTuple):
    """Of each view its top label, (N,) int64, and that label's softmax probability, (N,) float32; on the CPU.

    ``close``, (N,) bool: whether the first two labels are too close for the engine that answered to tell them apart.
    """

    labels: torch.Tensor
    confidences: torch.Tensor
    close: torch.Tensor


class Pass(NamedTuple):
    """An engine, and the margin from which on its top label is fp32's."""

    engine: Engine
    #: Difference of the two largest logits. 0: what it says is what counts.
    bound: float


class Classifier:
    """A model on a device, asked in passes: a fast engine first, and a truer one for what that cannot decide.

    Args:
        preprocessing: what the model's views are to be made by.
        weights_sha256: of the model.
        passes: engines in the order in which they are asked, each for what was too close for the one before it.
        plain: eager fp32: what the last pass leaves open is its own to say.
        device: of all engines.
        batch_size: views of a pass.
        lanes: how many threads may ask at a time.
        threads: how many threads PyTorch may take for each of them.
    """

    def __init__(
        self, preprocessing: Preprocessing, weights_sha256: str, passes: Sequence[Pass], plain: Eager, *,
        device: torch.device, batch_size: int, lanes: int = 1, threads: int = 1,
    ) -> None:  # fmt: skip
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256
        self.passes = passes
        self.device = device
        #: As configured; where memory does not hold so many, a pass has fewer.
        self.batch_size = batch_size
        self.lanes, self.threads = lanes, threads
        #: Called after each forward pass: who waits for it knows that it gets on.
        self.after_pass: Callable[[], None] = lambda: None
        self._eager, self._plain = plain, Pass(plain, 0)
        #: Views that each engine was asked for, by its name.
        self.asked: Counter[str] = Counter()
        self._counting = Lock()
        self._size, self._close_size = PassSize(batch_size), PassSize(CLOSE_BATCH[device.type])
        # A GPU is kept busy by one pass; two at a time would only take twice the memory.
        self._turn: AbstractContextManager[object] = Lock() if device.type == "cuda" else nullcontext()

    @property
    def network(self) -> nn.Module:
        """The model in fp32 on its device, (N, 3, crop, crop) views in [0, 1] to (N, classes) logits, for an attack."""
        return self._eager.network

    @torch.inference_mode()
    def predict(self, views: torch.Tensor) -> Answers:
        """Answers for (N, 3, crop, crop) views in [0,1].

        Every forward pass of an engine has the same shape: kernels, and so the last bits of an answer, are chosen by
        shape, and an answer must not depend on how many other views happened to come with it. Only running out of
        memory changes that shape, for all that comes after.

        Raises:
            Refusal: if there is not the memory for a single view, or the device cannot run this at all.
            DeviceLost: if the device is broken, and this process with it.
        """
        first, *others = self.passes
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
        """The same by eager fp32, for the few views that are close.

        Raises:
            Refusal, DeviceLost: as above.
        """
        return self._ask(self._plain, views, self._close_size)

    def _ask(self, to_ask: Pass, views: torch.Tensor, size: PassSize) -> Answers:
        found: list[Answers] = []
        rest = views
        with self.device_errors():
            while len(rest):
                tried = size.current
                answers = self._tried(to_ask, rest[:tried], tried)
                if answers is None:
                    self._go_on_with_less(size, tried)
                    continue
                found.append(answers)
                self.after_pass()
                rest = rest[len(answers.labels) :]
                size.passed()
        with self._counting:
            self.asked[to_ask.engine.name] += len(views)
        return Answers(*(torch.cat(column) for column in zip(*found, strict=True)))

    def _tried(self, to_ask: Pass, batch: torch.Tensor, size: int) -> Answers | None:
        """Answers of one forward pass, or None if memory does not hold it.

        None and no exception: its traceback would keep the pass's tensors, while memory is wanted for the next one.
        """
        try:
            return self._answer(to_ask, batch, size)
        except (RuntimeError, MemoryError) as error:
            if ran_out(error):
                return None
            raise

    def _answer(self, to_ask: Pass, batch: torch.Tensor, size: int) -> Answers:
        """Answers of one forward pass of that many views; what is wanting to it is filled up."""
        padded = batch.to(self.device, non_blocking=True)
        if len(batch) < size:
            padded = torch.cat([padded, padded.new_zeros(size - len(batch), *batch.shape[1:])])
        with self._turn:
            logits = to_ask.engine.logits(padded)[: len(batch)]
        confidences, labels = logits.softmax(dim=1).max(dim=1)  # (N, classes) → (N,)
        top = logits.topk(min(2, logits.shape[1]), dim=1).values
        margins = top[:, 0] - top[:, -1]
        # What half precision made an infinity of has a margin, and no meaning.
        if to_ask.bound and logits.shape[1] > 1:
            close = (margins < to_ask.bound) | ~confidences.isfinite()
        else:
            close = torch.zeros_like(margins, dtype=torch.bool)
        return Answers(labels.cpu(), confidences.cpu(), close.cpu())

    def _go_on_with_less(self, size: PassSize, tried: int) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if not size.halve(tried):
            raise Refusal(
                f"out of memory on {self.device} at one view a pass: end what else uses it, or take a smaller model"
            )

    @contextmanager
    def device_errors(self) -> Iterator[None]:
        """Goes around everything that the device is asked for: CUDA tells of an error at some later call.

        Raises:
            Refusal: if the device cannot run this at all.
            DeviceLost: if the device is broken, and this process with it.
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


def choose_device(wanted: str, process: int = 0) -> str:
    """The device of this process: the one that is wanted, or, for auto, a GPU where there is one.

    Args:
        wanted: auto, cpu, cuda or cuda:N.
        process: number of this process among those of its worker; GPUs are dealt out in turn.
    """
    if wanted not in ("auto", "cuda"):
        return wanted
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{process % count}" if count else wanted.replace("auto", "cpu")
