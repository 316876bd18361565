"""The classifier: a model on a device, from views in [0,1] to top labels and their softmax probabilities."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.recipe import Preprocessing, Recipe
from worker.memory import PassSize, ran_out
from worker.models import load

#: Views of one forward pass: what keeps the device busy without eating its memory.
BATCH_SIZE = {"cpu": 24, "cuda": 384}

#: What CUDA and its libraries begin an error with.
DEVICE_ERRORS = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS", "CUSPARSE", "CUFFT")
#: Of these, what says that device and build of PyTorch do not fit: another process would only say it again.
MISFITS = ("no kernel image", "invalid device function", "NOT_SUPPORTED", "ARCH_MISMATCH")
#: What oneDNN, which computes on CPUs, says for ever once it ran out of memory at the wrong moment.
ONEDNN_ERRORS = ("could not create a primitive", "could not execute a primitive")


class DeviceLost(Exception):
    """The device met an error that this process does not get over, such as an illegal address.

    A CUDA context that met one answers nothing any more, whatever it is asked: the process must be replaced.
    """


class Answers(NamedTuple):
    """For each view its top label, (N,) int64, and that label's softmax probability, (N,) float32; on the CPU."""

    labels: torch.Tensor
    confidences: torch.Tensor


class Classifier:
    """A network and its normalisation on a device.

    Noise is added in [0,1] pixels, before normalisation: so that belongs here, behind the views.
    """

    def __init__(
        self, network: nn.Module, preprocessing: Preprocessing, weights_sha256: str, *, device: str, precision: str,
        batch_size: int | None = None,
    ) -> None:  # fmt: skip
        self.preprocessing = preprocessing
        self.weights_sha256 = weights_sha256
        self.device = torch.device(device)
        #: As configured; where memory does not hold so many, a pass has fewer.
        self.batch_size = batch_size or BATCH_SIZE[self.device.type]
        self._size = PassSize(self.batch_size)
        #: Called after each forward pass: who waits for it knows that it gets on.
        self.after_pass: Callable[[], None] = lambda: None
        self._low_precision = precision == "bf16"
        self._network = network.to(self.device).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocessing.std, device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def predict(self, views: torch.Tensor) -> Answers:
        """Answers for (N, 3, crop, crop) views in [0,1].

        Every forward pass has the same shape: kernels, and so the last bits of an answer, are chosen by shape, and
        an answer must not depend on how many other views happened to come with it. Only running out of memory
        changes that shape, for all that comes after.

        Raises:
            Refusal: if there is not the memory for a single view, or the device cannot run this at all.
            DeviceLost: if the device is broken, and this process with it.
        """
        found: list[Answers] = []
        rest = views
        with self._device_errors():
            while len(rest):
                answers = self._pass(rest[: self._size.current])
                if answers is None:
                    self._go_on_with_less()
                    continue
                found.append(answers)
                self.after_pass()
                rest = rest[len(answers.labels) :]
                self._size.passed()
        return Answers(torch.cat([some.labels for some in found]), torch.cat([some.confidences for some in found]))

    def _pass(self, batch: torch.Tensor) -> Answers | None:
        """Answers of one forward pass, or None if memory does not hold it.

        None and no exception: its traceback would keep the pass's tensors, while memory is wanted for the next one.
        """
        try:
            padded = torch.zeros(self._size.current, *batch.shape[1:])
            padded[: len(batch)] = batch
            answers = self._forward(padded.to(self.device))
            return Answers(answers.labels[: len(batch)].cpu(), answers.confidences[: len(batch)].cpu())
        except (RuntimeError, MemoryError) as error:
            if ran_out(error):
                return None
            raise

    def _go_on_with_less(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._size.halve():
            raise Refusal(
                f"out of memory on {self.device} at one view a pass: end what else uses it, or take a smaller model"
            )

    @contextmanager
    def _device_errors(self) -> Iterator[None]:
        # Around everything that CUDA is asked for: it tells of an error at some later call.
        try:
            yield
        except RuntimeError as error:
            said = str(error)
            if any(sign in said for sign in MISFITS):
                raise Refusal(f"{self.device} cannot run this model: {one_line(error)}") from None
            of_onednn = self._size.ran_short and any(sign in said for sign in ONEDNN_ERRORS)
            if of_onednn or isinstance(error, torch.AcceleratorError) or any(sign in said for sign in DEVICE_ERRORS):
                raise DeviceLost(f"{self.device}: {one_line(error)}") from error
            raise

    def _forward(self, batch: torch.Tensor) -> Answers:
        normalised = ((batch - self._mean) / self._std).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self._low_precision):
            logits = self._network(normalised)
        confidences, labels = logits.float().softmax(dim=1).max(dim=1)  # (N, classes) → (N,)
        return Answers(labels, confidences)


def make_classifier(recipe: Recipe, *, device: str, batch_size: int | None = None) -> Classifier:
    """The classifier of a recipe.

    Raises:
        Refusal: if its model or weights cannot be had, or not be put on the device.
    """
    model = load(recipe)
    try:
        return Classifier(
            model.network, model.preprocessing, model.weights_sha256,
            device=device, precision=recipe.precision, batch_size=batch_size,
        )  # fmt: skip
    except (RuntimeError, AssertionError) as error:
        # What PyTorch raises for a device that is not there, or is full.
        raise Refusal(
            f"cannot run {recipe.model} on {device}: {one_line(error)}; SMOOTHVOTE_DEVICE=cpu always can"
        ) from None


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
