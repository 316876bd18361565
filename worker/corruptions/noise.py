"""Corruptions of ImageNet-C: noise."""

import numpy as np

from worker.corruptions import Array, clipped


def gaussian_noise(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Adds normal noise to each value."""
    sigma = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    return clipped(image + sigma * rng.standard_normal(image.shape))


def shot_noise(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Counts photons: so many for a white value."""
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return clipped(rng.poisson(image * photons) / photons)


def impulse_noise(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Sets a share of the values, each channel by itself, to 0 or 1 with equal chance."""
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    chance = rng.random(image.shape)
    return np.where(chance < share, (chance < share / 2).astype(float), image)


def speckle_noise(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Adds normal noise in proportion to each value."""
    sigma = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    return clipped(image + image * sigma * rng.standard_normal(image.shape))
