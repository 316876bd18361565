"""DnCNN: a small network that finds the noise of an image and takes it off.

Source: Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image denoising", 2017; without
batch normalisation, which so few layers do not need.
"""

from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from db.errors import Refusal
from worker.models import read_submitted


class DnCNN(nn.Sequential):
    """From noisy (N, 3, H, W) images in [0, 1] to clean ones.

    Args:
        layers: convolutions of 3×3, with ReLU between them: an image's pixel depends on those ``layers`` away.
        channels: between two layers.
    """

    def __init__(self, layers: int, channels: int) -> None:
        sides = [3, *[channels] * (layers - 1), 3]
        convolutions = [nn.Conv2d(sides[layer], sides[layer + 1], 3, padding=1) for layer in range(layers)]
        with torch.no_grad():
            for convolution in convolutions:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            for convolution in convolutions[1:-1]:  # near the identity, from where so deep a network learns faster
                convolution.weight.copy_(
                    0.3 * convolution.weight + nn.init.dirac_(torch.empty(convolution.weight.shape))
                )
            convolutions[-1].weight.zero_()  # before training, no noise is found
        super().__init__(*[part for one in convolutions for part in (one, nn.ReLU())][:-1])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Takes off the noise that the layers find."""
        noise: torch.Tensor = super().forward(images)
        return images - noise


@lru_cache(maxsize=4)
def load(file: str, sha256: str, device: torch.device) -> DnCNN:
    """The trained network in a file of weights, whose numbers of layers and channels are those of its tensors.

    Args:
        file: a .safetensors file, as `smoothvote train-denoiser` writes it.
        sha256: of its bytes, when it was submitted.
        device: where the network is wanted.

    Raises:
        Refusal: if the file is not there, has other bytes, or holds other tensors.
    """
    tensors = read_submitted(Path(file), sha256)
    weights = [tensor for name, tensor in tensors.items() if name.endswith(".weight")]
    # Tensors made in inference mode have no gradient, which an attack may need later.
    with torch.inference_mode(False):
        try:
            network = DnCNN(len(weights), tensors["0.weight"].shape[0])
            network.load_state_dict({name: tensor.clone() for name, tensor in tensors.items()})
        except (KeyError, IndexError, RuntimeError):
            raise Refusal(f"{file} holds no denoiser: make one with `smoothvote train-denoiser`") from None
        return network.eval().requires_grad_(False).to(device)
