"""Views in two sparse products, against kornia and torchvision one after the other."""

import itertools

import pytest
import torch

from db.recipe import Preprocessing, make_recipe
from worker import noise
from worker.images import Pixels
from worker.unusable import Unusable
from worker.views import draw_views, plain_views

CPU = torch.device("cpu")
#: Of fp32 values in [0, 1]; the issue of rounding, and nothing else.
ROUNDING = 2e-6


def photograph(height: int, width: int, *, sixteen_bits: bool = False) -> Pixels:
    generator = torch.Generator().manual_seed(height * 10_000 + width)
    values = torch.rand(height, width, 3, generator=generator)
    return Pixels(values if sixteen_bits else (values * 255).byte(), bytes(32))


def preprocessing(
    resize: int = 64, crop: int = 56, interpolation: str = "bilinear", *, antialias: bool = True
) -> Preprocessing:
    return Preprocessing(resize, crop, interpolation, antialias, (0, 0, 0), (1, 1, 1))


def largest_difference(pixels: Pixels, fit: Preprocessing, **flags: object) -> float:
    recipe = make_recipe(levels=(0, 0.25), **flags)
    epsilon = noise.draw(pixels.digest, 0, *pixels.values.shape[:2])
    fast = draw_views(pixels, epsilon, recipe, fit, CPU)
    plain = plain_views(pixels, epsilon, recipe, fit, range(6))
    assert fast.shape == plain.shape == (6, 3, fit.crop, fit.crop)
    return float((fast - plain).abs().max())


@pytest.mark.parametrize(
    ("interpolation", "antialias"), list(itertools.product(("bilinear", "bicubic"), (True, False)))
)  # fmt: skip
@pytest.mark.parametrize(
    ("height", "width"), [(375, 500), (500, 375), (333, 500), (64, 64), (70, 1200), (41, 29), (1536, 2048)]
)
def test_fast_views_are_those_of_kornia_and_torchvision(
    height: int, width: int, interpolation: str, antialias: bool
) -> None:
    fit = preprocessing(interpolation=interpolation, antialias=antialias)
    assert largest_difference(photograph(height, width), fit) < ROUNDING


@pytest.mark.parametrize(("kernel_size", "kernel_sigma"), [(3, 0.5), (5, 1.0), (9, 3.0), (31, 5.0)])
@pytest.mark.parametrize(("height", "width"), [(375, 500), (17, 40)])
def test_whatever_the_kernel_reflected_borders_and_all(
    height: int, width: int, kernel_size: int, kernel_sigma: float
) -> None:
    fit = preprocessing(crop=64)  # up to the border
    flags = {"kernel_size": kernel_size, "kernel_sigma": kernel_sigma}
    assert largest_difference(photograph(height, width), fit, **flags) < ROUNDING


@pytest.mark.parametrize(("resize", "crop"), [(256, 224), (256, 241), (8, 1), (8, 7), (232, 181), (300, 300)])
def test_whatever_the_crop_odd_or_whole(resize: int, crop: int) -> None:
    assert largest_difference(photograph(333, 500), preprocessing(resize, crop)) < ROUNDING


def test_files_of_more_than_eight_bits_keep_them() -> None:
    assert largest_difference(photograph(120, 90, sixteen_bits=True), preprocessing()) < ROUNDING


def test_a_view_worked_out_by_hand() -> None:
    # Red grows by 10 a column: neither resized (8 to 8) nor noisy, ns is the image, and its middle, far from the
    # borders, stays as it is under a symmetric kernel.
    columns = torch.arange(16, dtype=torch.uint8) * 10
    values = torch.zeros(16, 16, 3, dtype=torch.uint8)
    values[..., 0] = columns
    recipe = make_recipe(levels=(0,))
    views = draw_views(Pixels(values, b""), torch.zeros(3, 16, 16), recipe, preprocessing(16, 4), CPU)
    for view in views:
        assert torch.allclose(view[0], (columns[6:10] / 255).expand(4, 4), atol=1e-6)
        assert torch.allclose(view[1:], torch.zeros(2, 4, 4), atol=1e-6)


def test_only_what_was_asked_for_is_drawn_plainly() -> None:
    pixels, recipe = photograph(50, 60), make_recipe(levels=(0, 0.1, 0.3))
    epsilon = torch.zeros(3, 50, 60)
    everything = plain_views(pixels, epsilon, recipe, preprocessing(), range(9))
    assert plain_views(pixels, epsilon, recipe, preprocessing(), [7, 0]).equal(everything[[7, 0]])


@pytest.mark.parametrize(
    ("height", "width", "code"), [(2, 40, "too_small"), (40, 2, "too_small"), (3, 3000, "too_narrow")]
)
def test_what_cannot_be_drawn_says_why(height: int, width: int, code: str) -> None:
    with pytest.raises(Unusable) as reason:
        draw_views(photograph(height, width), torch.zeros(3, height, width), make_recipe(), preprocessing(), CPU)
    assert reason.value.code == code
