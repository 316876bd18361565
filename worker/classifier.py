"""The classifier: a model on a device, from views in [0,1] to top labels and their softmax probabilities."""

from typing import NamedTuple

import torch
from torch import nn

from db.errors import Refusal, one_line
from db.recipe import Preprocessing, Recipe
from worker.models import load

#: Views of one forward pass: what keeps the device busy without eating its memory.
BATCH_SIZE = {"cpu": 24, "cuda": 384}


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
        self.batch_size = batch_size or BATCH_SIZE[self.device.type]
        self._low_precision = precision == "bf16"
        self._network = network.to(self.device).to(memory_format=torch.channels_last)
        self._mean = torch.tensor(preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocessing.std, device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def predict(self, views: torch.Tensor) -> Answers:
        """Answers for (N, 3, crop, crop) views in [0,1].

        Every forward pass has the same shape: kernels, and so the last bits of an answer, are chosen by shape, and
        an answer must not depend on how many other views happened to come with it.
        """
        labels, confidences = [], []
        for batch in views.split(self.batch_size):
            padded = torch.zeros(self.batch_size, *batch.shape[1:])
            padded[: len(batch)] = batch
            answers = self._forward(padded.to(self.device))
            labels.append(answers.labels[: len(batch)].cpu())
            confidences.append(answers.confidences[: len(batch)].cpu())
        return Answers(torch.cat(labels), torch.cat(confidences))

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
