import numpy as np
import pytest

from worker.corruptions import digital


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_contrast_brings_values_closer_to_the_mean_of_their_channel() -> None:
    image = np.array([[[0.2, 0.0, 0.5], [0.6, 1.0, 0.5]]])
    # Severity 1 keeps .4 of the distance: the means are .4, .5 and .5.
    assert digital.contrast(image, 1, rng()) == pytest.approx(np.array([[[0.32, 0.3, 0.5], [0.48, 0.7, 0.5]]]))


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (1, [0.8, 0.68, 0.68]),  # S was .5 and becomes .15: the least channel is .8·.85
        (3, [0.8, 0, 0]),  # S becomes 1
    ],
)
def test_saturation_changes_how_far_channels_lie_below_the_greatest(severity: int, expected: list[float]) -> None:
    image = np.array([[[0.8, 0.4, 0.4]]])
    assert digital.saturate(image, severity, rng())[0, 0] == pytest.approx(expected)


def test_a_channel_between_the_others_stays_between_them() -> None:
    # .6 lies half way between .8 and .4, and so it does when .4 has become .68.
    assert digital.saturate(np.array([[[0.8, 0.6, 0.4]]]), 1, rng())[0, 0] == pytest.approx([0.8, 0.74, 0.68])


def test_grey_becomes_reddish_where_saturation_is_added_and_black_stays_black() -> None:
    image = np.array([[[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]])
    # Severity 4 adds .1. The hue of grey is 0, which is red.
    assert digital.saturate(image, 4, rng()) == pytest.approx(np.array([[[0.5, 0.45, 0.45], [0, 0, 0]]]))


def test_pixelate_leaves_squares_of_one_colour() -> None:
    # Severity 5: a quarter of the resolution, so that a square is 4×4 and has the mean of what it was.
    image = np.arange(64).reshape(8, 8, 1).repeat(3, axis=2) / 255
    expected = image[:, :, 0].reshape(2, 4, 2, 4).mean(axis=(1, 3))
    x = digital.pixelate(image, 5, rng())[:, :, 0]
    assert x[::4, ::4] == pytest.approx(expected, abs=1 / 255)
    assert (x.reshape(2, 4, 2, 4) == x[::4, ::4][:, None, :, None]).all()


def test_jpeg_of_a_lower_quality_is_farther_from_the_image() -> None:
    image = np.random.default_rng(1).random((32, 48, 3))
    far = [np.abs(digital.jpeg_compression(image, severity, rng()) - image).mean() for severity in (1, 3, 5)]
    assert 0.05 < far[0] < far[1] < far[2]


def test_a_smooth_field_is_a_gaussian_blur_with_a_mirrored_border() -> None:
    dot = np.zeros((41, 61))
    dot[20, 30] = 1
    x = digital._smooth(dot, 2)
    assert x.sum() == pytest.approx(1)
    assert x[20, 32] / x[20, 30] == pytest.approx(np.exp(-1 / 2), rel=1e-3)
    assert digital._smooth(dot, 1000) == pytest.approx(1 / dot.size, rel=1e-3)


def test_elastic_transform_moves_pixels_by_as_much_as_the_paper_does() -> None:
    # The image says where each of its pixels was. Severity 3 to 5 add 244·.05 to 244·.12 of a uniform field in [-1, 1],
    # blurred by 2.44 pixels: its standard deviation is strength·√⅓ / (2·√π·2.44), .81 to 1.95 pixels.
    rows, columns = np.indices((200, 300)) / 300
    image = np.stack([rows, columns, rows], axis=2)
    for severity, strength in ((3, 0.05), (5, 0.12)):
        x = digital.elastic_transform(image, severity, rng())
        moved = ((x - image) * 300)[50:150, 50:250, :2].reshape(-1, 2)
        places = np.column_stack([np.indices((100, 200)).reshape(2, -1).T, np.ones(20_000)])
        tilt = np.linalg.lstsq(places, moved, rcond=None)[0]
        left = moved - places @ tilt  # without the affine part, which moves corners by 244·.02 = 4.9 pixels at most
        assert left.std() == pytest.approx(244 * strength / np.sqrt(3) / (2 * np.sqrt(np.pi) * 2.44), rel=0.15)
        assert np.abs(places @ tilt).max() < 12
