"""Corruptions of ImageNet-C: blur."""

import numpy as np
from scipy import ndimage, signal

from worker.corruptions import Array, clipped
from worker.corruptions.filters import blurred, enlarged, moved


def defocus_blur(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Averages a disk around each pixel; the disk's rim is softened by a small Gaussian."""
    radius, softness = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    reach, soft_reach = (8, 1) if radius <= 8 else (radius, 2)
    steps = np.arange(-reach, reach + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).astype(float)
    disk = ndimage.gaussian_filter(disk / disk.sum(), softness, mode="mirror", radius=soft_reach)
    padded = np.pad(image, [(reach, reach), (reach, reach), (0, 0)], mode="reflect")
    found = signal.oaconvolve(padded, disk[:, :, None], mode="valid", axes=(0, 1))
    return clipped(found)


def glass_blur(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Blurs, lets each pixel take the colour of a random one nearby, several times over, and blurs again.

    The paper says that pixels change places. In the published code, which made the dataset, both end with the
    neighbour's colour; so they do here. Pixels are visited from the lower right to the upper left, and one that took
    its colour hands it on.
    """
    sigma, reach, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[severity - 1]
    height, width = image.shape[:2]
    rows, columns = np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1)
    visited = (rows[:, None] * width + columns).ravel()
    sources = list(range(height * width))  # which pixel's colour each pixel has
    for _ in range(rounds):
        down, right = rng.integers(-reach, reach, size=(2, len(visited)))
        for pixel, neighbour in zip(visited.tolist(), (visited + down * width + right).tolist(), strict=True):
            sources[pixel] = sources[neighbour]
    shuffled = blurred(image, sigma).reshape(-1, 3)[sources].reshape(image.shape)
    return clipped(blurred(shuffled, sigma))


def motion_blur(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Moves the image along a random direction, by up to 45 degrees from its rows."""
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    return clipped(moved(image, radius, sigma, rng.uniform(-45, 45)))


def zoom_blur(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Averages the image and enlargements of it, each by a step more; the first is the image itself."""
    end, step = ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03))[severity - 1]
    factors = np.arange(1, end, step)
    total = image + sum(enlarged(image, factor) for factor in factors)
    return clipped(total / (len(factors) + 1))


def gaussian_blur(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Blurs with a Gaussian."""
    return clipped(blurred(image, (1, 2, 3, 4, 6)[severity - 1]))
