"""A trained denoiser as a smoother, as in Denoised Smoothing: `--smoother denoiser:FILE.safetensors`.

`smoothvote train-denoiser` makes the file. The network is a DnCNN (worker/dncnn.py); the file's sha256 is part of the
recipe, so that another file is another run, and a worker that has another one refuses.
Source: Salman et al., "Denoised smoothing: a provable defense for pretrained classifiers", 2020.
"""

from typing import TYPE_CHECKING

from db.errors import Refusal
from db.recipe import Recipe
from worker.smoothers import Smoother

if TYPE_CHECKING:
    import torch

    from worker.dncnn import DnCNN


class Denoiser(Smoother):
    """A trained network: denoiser:FILE.safetensors, which `smoothvote train-denoiser` makes."""

    name = "denoiser"
    differentiable = True
    takes_file = True

    def prepare(self, recipe: Recipe) -> None:
        """As Smoother: reads the file."""
        import torch

        _network(recipe, torch.device("cpu"))

    def smooth(self, images: "torch.Tensor", recipe: Recipe) -> "torch.Tensor":
        """As Smoother, image by image: a convolution rounds differently in a larger batch."""
        import torch

        network = _network(recipe, images.device)
        return torch.cat([network(image[None]) for image in images]).clamp(0, 1)


def _network(recipe: Recipe, device: "torch.device") -> "DnCNN":
    from worker.dncnn import load

    if recipe.smoother_file is None or recipe.smoother_sha256 is None:
        raise Refusal("the recipe's denoiser has no file of weights: submit with --smoother denoiser:FILE.safetensors")
    return load(recipe.smoother_file, recipe.smoother_sha256, device)


MEMBER = Denoiser()
