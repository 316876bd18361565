"""Noise: one field an image, drawn on the CPU and keyed by what it is for, so that it is the same wherever it is drawn.

Neither batch, worker, device, order nor retry changes it; and since every level scales the same field, levels are
compared on the same noise.
"""

import hashlib

import torch


def draw(digest: bytes, seed: int, height: int, width: int) -> torch.Tensor:
    """ε ~ N(0, 1) of an image.

    Args:
        digest: sha256 of the image file's bytes.
        seed: of the run.
        height, width: of the image, in pixels.

    Returns:
        (3, H, W) float32 on the CPU.
    """
    key = hashlib.sha256(digest + seed.to_bytes(8, "big")).digest()
    # PyTorch's CPU generator takes 32 bits of a seed, and would drop the rest without a word.
    generator = torch.Generator().manual_seed(int.from_bytes(key[:4], "big"))
    return torch.randn(3, height, width, generator=generator)


def add(image: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """x = clamp(I + σ·ε, 0, 1), (3, H, W); σ = 0 leaves the image as it is."""
    return image if sigma == 0 else torch.add(image, noise, alpha=sigma).clamp_(0, 1)
