"""The corruptions of ImageNet-C, by their kinds. Each is a function of an image, a severity and a random generator.

An image is (H, W, 3) float64 in [0, 1]; a severity is 1 to 5; a function returns another image and leaves its own
alone. The constants of the five severities are those of the published code, and lengths are its pixels: it corrupts
crops of 224×224, and these functions corrupt an image of any size before it is resized. That code does not run on
today's NumPy and scikit-image: these are written anew on NumPy, SciPy and Pillow, and compared with it on the same
random numbers (tests/test_corruptions.py).
Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
2019.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def clipped(values: Array) -> Array:
    """An image of these values, each brought into [0, 1]."""
    image: Array = np.clip(values, 0, 1)
    return image


def to_bytes(image: Array) -> NDArray[np.uint8]:
    """The values that an image file would hold."""
    return np.rint(image * 255).astype(np.uint8)
