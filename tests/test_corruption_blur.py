import numpy as np
import pytest

from worker.corruptions import Array, blur
from worker.corruptions.filters import blurred, enlarged, moved


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def dot(side: int) -> Array:
    """White in the middle of black, (side, side, 3)."""
    image = np.zeros((side, side, 3))
    image[side // 2, side // 2] = 1
    return image


def test_defocus_makes_of_a_dot_a_disk_of_equal_brightness() -> None:
    # Severity 1: 29 pixels lie within 3 of the middle; its rim is as good as not softened (sigma .1).
    x = blur.defocus_blur(dot(31), 1, rng())
    expected = np.zeros((31, 31))
    down, right = np.indices((31, 31)) - 15
    expected[down**2 + right**2 <= 9] = 1 / 29
    assert x[:, :, 1] == pytest.approx(expected, abs=1e-6)


def test_a_gaussian_blur_falls_as_a_gaussian() -> None:
    x = blur.gaussian_blur(dot(41), 2, rng())[:, :, 0]
    assert x[20, 22] / x[20, 20] == pytest.approx(np.exp(-1 / 2))  # two pixels are one sigma
    assert x.sum() == pytest.approx(1)


def test_glass_gives_pixels_the_colours_of_others_nearby() -> None:
    image = np.random.default_rng(1).random((40, 50, 3))
    x = blur.glass_blur(image, 1, rng())
    # Without what is random, two Gaussian blurs would be left.
    twice = blurred(blurred(image, 0.7), 0.7)
    assert np.abs(x - twice).mean() > 0.02
    assert x.mean() == pytest.approx(image.mean(), abs=0.02)


def test_glass_moves_nothing_farther_than_its_rounds_can() -> None:
    # The left half is black, the right half white. In one round of severity 2 (reach 2) a colour is handed on as often
    # as the way goes its direction; 25 pixels from the edge nothing has arrived.
    image = np.zeros((20, 80, 3))
    image[:, 40:] = 1
    x = blur.glass_blur(image, 2, rng())
    assert x[:, :15].max() < 1e-6
    assert x[:, 65:].min() > 1 - 1e-6
    assert 0.05 < x[:, 40].mean() < 0.95


def test_motion_moves_copies_along_a_line_which_fade_as_a_gaussian() -> None:
    # Along the rows: what is seen at a pixel comes from its right, at most 2·radius away.
    x = moved(dot(61), 10, 3, 0)[30, :, 0]
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    assert x[10:31][::-1] == pytest.approx(weights / weights.sum())
    assert x.sum() == pytest.approx(1)
    # Along the columns: from below.
    down = moved(dot(61), 10, 3, 90)[:, 30, 0]
    assert down == pytest.approx(x)


def test_motion_leaves_the_mean_of_each_row_to_its_neighbours_within_45_degrees() -> None:
    line = np.zeros((61, 200, 3))
    line[30] = 1
    x = blur.motion_blur(line, 1, rng())[:, 100, 0]
    assert x.sum() == pytest.approx(1)
    assert x[:15].sum() + x[46:].sum() == pytest.approx(0)  # 20 pixels at 45 degrees are 14 rows


def test_enlarging_keeps_the_size_and_the_middle() -> None:
    # Of 9 pixels by 3, the middle 3 become 9: 3 4 5 in steps of ¼.
    row = np.broadcast_to(np.arange(9.0), (9, 9))
    assert enlarged(row, 3)[4] == pytest.approx(3 + np.arange(9) / 4)
    assert enlarged(row, 1) == pytest.approx(row)


def test_a_zoom_smears_an_image_away_from_its_middle() -> None:
    x = blur.zoom_blur(dot(101), 5, rng())[:, :, 0]
    assert np.abs(np.argwhere(x > 1e-3) - 50).max() <= 2  # the part that is enlarged begins at a whole pixel
    corner = np.zeros((101, 101, 3))
    corner[60, 60] = 1
    smeared = blur.zoom_blur(corner, 5, rng())[:, :, 0]
    reached = np.argwhere(smeared > 1e-3)
    assert reached.min() >= 59
    assert 62 <= reached.max() <= 65  # 10 pixels off the middle, times 1.3, and two for whole pixels
