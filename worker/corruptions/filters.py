"""What corruptions are made of: Gaussian blur, motion blur, enlarging, and edges."""

import numpy as np
from numpy.typing import NDArray
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


def edges(image: Array, low: float, high: float) -> NDArray[np.bool_]:
    """Edges of an (H, W) image, one pixel wide, as OpenCV's Canny finds them.

    A pixel is on an edge if its slope is the greatest along its direction and more than ``low``, and it is linked by
    such pixels to one whose slope is more than ``high``. A slope is |down| + |right| by Sobel's filters. Of two equal
    slopes in a row or a column the first counts.
    Source: J. Canny, "A Computational Approach to Edge Detection", 1986.
    """
    down, right = (ndimage.sobel(image, axis, mode="nearest") for axis in (0, 1))
    slope = np.abs(down) + np.abs(right)
    padded = np.pad(slope, 1)

    def beside(rows: int, columns: int) -> Array:
        """The slope of the pixel so many rows below and columns to the right; 0 outside."""
        height, width = image.shape
        return padded[1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    flat = np.abs(down) < np.abs(right) * np.tan(np.pi / 8)
    steep = np.abs(down) > np.abs(right) * np.tan(3 * np.pi / 8)
    greatest = np.select(
        [flat, steep, (down < 0) == (right < 0)],
        [
            (slope > beside(0, -1)) & (slope >= beside(0, 1)),
            (slope > beside(-1, 0)) & (slope >= beside(1, 0)),
            (slope > beside(-1, -1)) & (slope > beside(1, 1)),
        ],
        (slope > beside(-1, 1)) & (slope > beside(1, -1)),
    )
    found = greatest & (slope > low)
    linked, count = ndimage.label(found, np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[linked[found & (slope > high)]] = True
    edge: NDArray[np.bool_] = found & strong[linked]
    return edge
