"""What several corruptions are made of: Gaussian blur, motion blur, and enlarging."""

import numpy as np
from scipy import ndimage

from worker.corruptions import Array


def blurred(image: Array, sigma: float) -> Array:
    """Gaussian blur of an (H, W) or (H, W, C) image, cut off at four sigma; the edge's pixels are repeated."""
    found: Array = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=4, axes=(0, 1))
    return found


def moved(image: Array, radius: int, sigma: float, degrees: float) -> Array:
    """Motion blur of an (H, W) or (H, W, C) image: a mean of it and of 2·radius copies, each moved by a pixel more.

    Copies weigh as a normal distribution of that sigma, so that they fade. The edge's pixels are repeated.

    Args:
        image: to be blurred.
        radius: half the number of copies.
        sigma: in pixels.
        degrees: of the motion; 0 is along the rows, 90 along the columns.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    down = np.rint(steps * np.sin(np.deg2rad(degrees))).astype(int)
    right = np.rint(steps * np.cos(np.deg2rad(degrees))).astype(int)
    height, width = image.shape[:2]
    edge = 2 * radius
    padded = np.pad(image, [(edge, edge), (edge, edge), (0, 0)][: image.ndim], mode="edge")
    total = np.zeros_like(image)
    for weight, y, x in zip(weights, down + edge, right + edge, strict=True):
        total += weight * padded[y : y + height, x : x + width]
    return total


def enlarged(image: Array, factor: float) -> Array:
    """The middle of an (H, W) or (H, W, C) image, enlarged linearly to its size."""
    for axis in (0, 1):
        side = image.shape[axis]
        part = int(np.ceil(side / factor))
        whole = round(part * factor)  # as large as the side, or up to a few pixels larger
        place = (np.arange(side) + (whole - side) // 2) * (part - 1) / max(whole - 1, 1)  # in the part
        low = np.minimum(place.astype(int), max(part - 2, 0))
        share = (place - low).reshape([-1 if one == axis else 1 for one in range(image.ndim)])
        middle = image.take(range((side - part) // 2, (side - part) // 2 + part), axis)
        image = middle.take(low, axis) * (1 - share) + middle.take(np.minimum(low + 1, part - 1), axis) * share
    return image
