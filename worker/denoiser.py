"""Training a denoiser: a DnCNN learns from crops of images, with Gaussian noise of many levels, to give them back."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional

from db.errors import WrongUse
from worker.dncnn import DnCNN
from worker.images import to_unit

#: Sides of a crop in pixels, as in the paper of DnCNN, and crops in a step.
CROP, BATCH = 40, 16
#: Every so many-th image is held out of training; so many crops of these are denoised to measure.
HELD_OUT, MEASURED = 8, 128
LEARNING_RATE = 2e-3


class Trained(NamedTuple):
    """A denoiser, and how well it does on crops that it was not trained on."""

    network: DnCNN
    #: Peak signal-to-noise ratio in dB, of noisy crops and of denoised ones.
    noisy: float
    denoised: float


def train(
    images: Sequence[torch.Tensor], *, sigma: float, layers: int, channels: int, steps: int, seed: int,
    device: torch.device, after_step: Callable[[], None],
) -> Trained:  # fmt: skip
    """Trains a denoiser. On a CPU, the same arguments give the same network on the same machine.

    Args:
        images: (H, W, 3) uint8, or float32 in [0, 1].
        sigma: the highest noise level that it learns; it is measured at this one.
        layers: of the network.
        channels: between its layers.
        steps: of the optimiser (Adam), each on BATCH crops.
        seed: of weights, crops and noise.
        device: where it is trained.
        after_step: called after each step.

    Raises:
        WrongUse: if fewer than two images are as large as a crop.
    """
    large = [image for image in images if min(image.shape[:2]) >= CROP]
    if len(large) < 2:
        raise WrongUse(f"training needs two images of {CROP}×{CROP} pixels or more; there are {len(large)}")
    held_out, others = large[::HELD_OUT], [image for number, image in enumerate(large) if number % HELD_OUT]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = DnCNN(layers, channels).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        clean = _crops(others, BATCH, generator)
        levels = sigma * torch.rand(BATCH, 1, 1, 1, generator=generator)
        noisy = _with_noise(clean, levels, generator)
        loss = functional.mse_loss(network(noisy.to(device)), clean.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        after_step()
    network.eval().requires_grad_(False)
    clean = _crops(held_out, MEASURED, generator)
    noisy = _with_noise(clean, torch.tensor(sigma), generator)
    denoised = network(noisy.to(device)).clamp(0, 1).cpu()
    return Trained(network, psnr(noisy, clean), psnr(denoised, clean))


def psnr(images: torch.Tensor, clean: torch.Tensor) -> float:
    """Peak signal-to-noise ratio of images in [0, 1], in dB: 20 where they are .1 apart."""
    return -10 * math.log10(max(functional.mse_loss(images, clean).item(), 1e-12))


def save(network: DnCNN, file: Path) -> None:
    """Writes the weights, and nothing else, as .safetensors.

    Raises:
        WrongUse: if the file cannot be written.
    """
    from safetensors.torch import save as to_bytes

    try:
        file.write_bytes(to_bytes({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}))
    except OSError as error:
        raise WrongUse(f"--output {file}: {error.strerror}") from None


def _crops(images: Sequence[torch.Tensor], count: int, generator: torch.Generator) -> torch.Tensor:
    """Random crops, (count, 3, CROP, CROP) in [0, 1], half of them mirrored."""
    return torch.stack(list(_drawn(images, count, generator)))


def _drawn(images: Sequence[torch.Tensor], count: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    for which, down, right, mirrored in torch.rand(count, 4, generator=generator).tolist():
        image = images[int(which * len(images))]
        top, left = int(down * (image.shape[0] - CROP + 1)), int(right * (image.shape[1] - CROP + 1))
        crop = to_unit(image[top : top + CROP, left : left + CROP].permute(2, 0, 1))
        yield crop.flip(2) if mirrored < 0.5 else crop


def _with_noise(clean: torch.Tensor, levels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """As the perturbation ``gaussian`` makes it: clamped to [0, 1]."""
    return (clean + levels * torch.randn(clean.shape, generator=generator)).clamp_(0, 1)
