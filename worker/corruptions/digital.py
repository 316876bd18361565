"""Corruptions of ImageNet-C: what programs do to images."""

from io import BytesIO

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from worker.corruptions import Array, clipped, to_bytes


def contrast(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Brings values closer to the mean of their channel."""
    share = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    means = image.mean(axis=(0, 1))
    return clipped((image - means) * share + means)


def elastic_transform(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Moves three points of the image at random, and the rest along with them; then each pixel by a smooth field."""
    strength, sigma, corners = (
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    )[severity - 1]
    image = _tilted(image, corners, rng)
    height, width = image.shape[:2]
    places = np.indices((height, width), dtype=float)
    for axis in (1, 0):
        places[axis] += strength * _smooth(rng.uniform(-1, 1, size=(height, width)), sigma)
    channels = [ndimage.map_coordinates(image[:, :, channel], places, order=1, mode="reflect") for channel in range(3)]
    return clipped(np.stack(channels, axis=-1))


def pixelate(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Shrinks the image and enlarges it again, into visible squares."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[severity - 1]
    height, width = image.shape[:2]
    whole = Image.fromarray(to_bytes(image))
    small = whole.resize((max(1, int(width * share)), max(1, int(height * share))), Image.Resampling.BOX)
    return np.asarray(small.resize((width, height), Image.Resampling.BOX)) / 255


def jpeg_compression(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Compresses the image as JPEG of low quality."""
    file = BytesIO()
    Image.fromarray(to_bytes(image)).save(file, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    return np.asarray(Image.open(file)) / 255


def saturate(image: Array, severity: int, rng: np.random.Generator) -> Array:
    """Changes the saturation of HSV, S, to S·factor + plus; its hue and value stay. Grey has the hue of red."""
    factor, plus = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[severity - 1]
    value = image.max(axis=2, keepdims=True)
    spread = value - image.min(axis=2, keepdims=True)
    # How far below the value a channel is, as a share of the farthest: it says the hue.
    below = np.where(spread > 0, (value - image) / np.where(spread > 0, spread, 1), (0, 1, 1))
    saturation = clipped(spread / np.where(value > 0, value, 1) * factor + plus)
    return clipped(value * (1 - saturation * below))


def _tilted(image: Array, reach: float, rng: np.random.Generator) -> Array:
    """The image under the affine map that moves three corners of a square in its middle by up to ``reach`` pixels."""
    height, width = image.shape[:2]
    middle, half = np.array((height // 2, width // 2)), min(height, width) // 3
    corners = middle + half * np.array([(1, 1), (-1, 1), (-1, -1)])
    moves = rng.uniform(-reach, reach, size=(3, 2))[:, ::-1]  # drawn as x, y
    if half == 0:
        return image  # too small to hold a square
    # Where each pixel of the result comes from: the map that leads the moved corners back.
    known = np.column_stack([corners + moves, np.ones(3)])
    if abs(np.linalg.det(known)) < 1:
        return image  # the corners have fallen into a line
    back = np.linalg.solve(known, corners)  # (3, 2)
    channels = [
        ndimage.affine_transform(image[:, :, channel], back[:2].T, back[2], order=1, mode="mirror")
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


def _smooth(field: Array, sigma: float) -> Array:
    """Gaussian blur with a mirrored border, by cosine transforms: as fast for any sigma, also one beyond the image."""
    height, width = field.shape
    down = np.exp(-((sigma * np.pi * np.arange(height) / height) ** 2) / 2)
    across = np.exp(-((sigma * np.pi * np.arange(width) / width) ** 2) / 2)
    found: Array = fft.idctn(fft.dctn(field) * down[:, None] * across)
    return found
