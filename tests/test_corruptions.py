"""The corruptions of ImageNet-C against the reference implementation, on one picture and the same random numbers.

The numbers are what the package imagecorruptions 1.1.2 (NumPy 2.4, scikit-image 0.26, OpenCV 5.0) makes of ``picture``.
Those of elastic_transform and pixelate are of the paper's own code, from which that package departs: its elastic
transform has other constants, and its squares are enlarged by the nearest pixel.
"""

from importlib import import_module

import numpy as np
import pytest

from worker.corruptions import Array, weather
from worker.corruptions.filters import edges

#: Kind, name and severity, and what comes of it: the green values of the pixels PLACES, and the mean of all values.
REFERENCE = {
    ("noise", "gaussian_noise", 1): (0.2059, 0.8857, 0.0694, 0.5018),
    ("noise", "gaussian_noise", 3): (0.4387, 0.7967, 0.0433, 0.5023),
    ("noise", "gaussian_noise", 5): (0.9043, 0.6187, 0.0000, 0.5023),
    ("noise", "shot_noise", 1): (0.0167, 0.9167, 0.0833, 0.4922),
    ("noise", "shot_noise", 3): (0.0000, 1.0000, 0.1667, 0.4738),
    ("noise", "shot_noise", 5): (0.0000, 1.0000, 0.3333, 0.4298),
    ("noise", "speckle_noise", 1): (0.0265, 0.8291, 0.0867, 0.4917),
    ("noise", "speckle_noise", 3): (0.0356, 0.6589, 0.0820, 0.4695),
    ("noise", "speckle_noise", 5): (0.0470, 0.4460, 0.0761, 0.4411),
    ("blur", "defocus_blur", 1): (0.0740, 0.9062, 0.1362, 0.5012),
    ("blur", "defocus_blur", 3): (0.2073, 0.7793, 0.2500, 0.5011),
    ("blur", "defocus_blur", 5): (0.4015, 0.5862, 0.4166, 0.5064),
    ("blur", "glass_blur", 1): (0.0272, 0.9533, 0.0460, 0.4984),
    ("blur", "glass_blur", 3): (0.0953, 0.8756, 0.1467, 0.4992),
    ("blur", "glass_blur", 5): (0.2398, 0.6856, 0.2025, 0.4923),
    ("blur", "motion_blur", 1): (0.1992, 0.7573, 0.3156, 0.5013),
    ("blur", "motion_blur", 3): (0.4919, 0.4782, 0.5663, 0.5021),
    ("blur", "motion_blur", 5): (0.5101, 0.4846, 0.5434, 0.5047),
    ("blur", "zoom_blur", 1): (0.0795, 0.9817, 0.0315, 0.5005),
    ("blur", "zoom_blur", 3): (0.2280, 0.9738, 0.0313, 0.5015),
    ("blur", "zoom_blur", 5): (0.3306, 0.9844, 0.0428, 0.5035),
    ("blur", "gaussian_blur", 1): (0.0433, 0.9353, 0.1101, 0.5012),
    ("blur", "gaussian_blur", 3): (0.1919, 0.7932, 0.2370, 0.5012),
    ("blur", "gaussian_blur", 5): (0.4034, 0.5774, 0.4250, 0.5020),
    ("weather", "snow", 1): (0.1267, 1.0000, 0.2918, 0.6546),
    ("weather", "snow", 3): (0.1802, 1.0000, 0.3926, 0.7593),
    ("weather", "snow", 5): (0.2997, 1.0000, 0.5517, 0.8436),
    ("weather", "fog", 1): (0.2949, 0.9226, 0.4682, 0.5582),
    ("weather", "fog", 3): (0.3140, 0.9238, 0.5902, 0.5836),
    ("weather", "fog", 5): (0.2657, 0.8662, 0.6485, 0.5766),
    ("weather", "brightness", 1): (0.0312, 1.0000, 0.0931, 0.5402),
    ("weather", "brightness", 3): (0.0545, 1.0000, 0.0931, 0.5817),
    ("weather", "brightness", 5): (0.0777, 1.0000, 0.0931, 0.6024),
    ("weather", "spatter", 5): (0.1524, 0.9569, 0.1605, 0.4455),
    ("digital", "contrast", 1): (0.3089, 0.6838, 0.3371, 0.5012),
    ("digital", "contrast", 3): (0.4053, 0.5927, 0.4194, 0.5012),
    ("digital", "contrast", 5): (0.4776, 0.5245, 0.4811, 0.5012),
    ("digital", "elastic_transform", 1): (0.1012, 0.8581, 0.0186, 0.4831),
    ("digital", "elastic_transform", 3): (0.2119, 0.9195, 0.8088, 0.4924),
    ("digital", "elastic_transform", 5): (0.1392, 0.8306, 0.8984, 0.4907),
    ("digital", "pixelate", 1): (0.0118, 0.9529, 0.0627, 0.5027),
    ("digital", "pixelate", 3): (0.1020, 0.8863, 0.1725, 0.5023),
    ("digital", "pixelate", 5): (0.0627, 0.9725, 0.3647, 0.5021),
    ("digital", "jpeg_compression", 1): (0.0000, 0.9804, 0.1098, 0.5000),
    ("digital", "jpeg_compression", 3): (0.0824, 0.9333, 0.1608, 0.5031),
    ("digital", "jpeg_compression", 5): (0.0000, 0.9922, 0.1569, 0.5023),
    ("digital", "saturate", 1): (0.1239, 0.9569, 0.7051, 0.7124),
    ("digital", "saturate", 3): (0.0000, 0.9569, 0.0000, 0.4393),
    ("digital", "saturate", 5): (0.0000, 0.9569, 0.0000, 0.4091),
}
PLACES = ((7, 11), (30, 31), (52, 24))
#: How far ours may be off. The reference brings glass to bytes by cutting off, flakes of snow by rounding; and OpenCV
#: moves an image by 32nds of a pixel.
TOLERANCES = {"glass_blur": 1.1 / 255, "snow": 0.6 / 255, "elastic_transform": 0.0015}
ROUNDED = 6e-5  # the numbers have four digits


def picture(side: int = 60) -> Array:
    """Waves in bytes, (side, side, 3): in each channel of another direction."""
    row, column = np.indices((side, side))
    waves = [np.sin((row * (1 + channel) + column * (3 - channel)) / 9 + channel) for channel in range(3)]
    found: Array = np.rint(127.5 + 127.5 * np.stack(waves, axis=-1)) / 255
    return found


@pytest.mark.parametrize(("kind", "name", "severity"), REFERENCE)
def test_it_is_that_of_the_reference(kind: str, name: str, severity: int) -> None:
    corrupt = getattr(import_module(f"worker.corruptions.{kind}"), name)
    x = corrupt(picture(), severity, np.random.default_rng(0))
    *pixels, mean = REFERENCE[kind, name, severity]
    assert [x[row, column, 1] for row, column in PLACES] == pytest.approx(pixels, abs=TOLERANCES.get(name, 0) + ROUNDED)
    assert x.mean() == pytest.approx(mean, abs=TOLERANCES.get(name, 0) + ROUNDED)


#: The mean of all values under water, which lies within .0015: OpenCV's distances are not exact.
@pytest.mark.parametrize(("severity", "mean"), [(1, 0.5060), (3, 0.5233)])
def test_water_is_as_bright_as_that_of_the_reference(severity: int, mean: float) -> None:
    dry = picture()
    x = weather.spatter(dry, severity, np.random.default_rng(0))
    assert x.mean() == pytest.approx(mean, abs=0.0015)
    assert x.mean() > dry.mean() + 0.003


def test_frost_is_as_bright_as_the_photographs_that_are_drawn() -> None:
    # Means of the five files, of which one is there twice: (.51 + .80 + .80 + .62 + .44)/5 = .634.
    found = [weather._ice(60, 60, np.random.default_rng(seed)).mean() for seed in range(200)]
    assert np.mean(found) == pytest.approx(0.634, abs=0.02)


@pytest.mark.parametrize(
    ("low", "high", "count", "rows", "columns"), [(50, 150, 593, 19355, 21964), (300, 600, 380, 12717, 17569)]
)
def test_edges_are_those_of_opencvs_canny(low: int, high: int, count: int, rows: int, columns: int) -> None:
    row, column = np.indices((60, 60))
    rings = np.rint(127.5 + 127.5 * np.sin((row**2 + 3 * column**2) / 400))
    found = edges(rings, low, high)
    # How many pixels, and the sums of their rows and columns, by cv2.Canny of OpenCV 5.0.
    assert (found.sum(), (found * row).sum(), (found * column).sum()) == (count, rows, columns)


def test_a_pixel_that_is_not_linked_to_a_strong_edge_is_none() -> None:
    image = np.zeros((20, 30))
    image[:, 20:] = 40  # Sobel's slope is 160: between the thresholds
    assert not edges(image, 50, 170).any()
    assert edges(image, 50, 150).sum() == 20  # one pixel in each row
