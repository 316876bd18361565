"""Views by sparse products, against perturbation, smoother and torchvision one after the other."""

import itertools
from collections.abc import Iterator, Sequence

import pytest
import torch
from kornia.filters import gaussian_blur2d
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as T

from db.errors import Refusal
from db.recipe import Preprocessing, Recipe, make_recipe
from worker import matrices, views
from worker.images import Pixels
from worker.perturbations import PERTURBATIONS, Perturbation, Subject
from worker.smoothers import SMOOTHERS, Smoother
from worker.unusable import Unusable
from worker.views import Steps, draw_field, draw_views, merges_steps, plain_views, steps_of

CPU = torch.device("cpu")
#: How far two ways may differ that compute the same values in [0, 1] in fp32.
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
    field = draw_field(pixels, recipe)
    fast = draw_views(pixels, field, recipe, fit, CPU)
    plain = plain_views(pixels, field, recipe, fit, range(6))
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
    field = draw_field(pixels, recipe)
    everything = plain_views(pixels, field, recipe, preprocessing(), range(9))
    assert plain_views(pixels, field, recipe, preprocessing(), [7, 0]).equal(everything[[7, 0]])


@pytest.mark.parametrize(("height", "width"), [(20, 2000), (2000, 20)])
def test_a_strip_of_pixels_has_the_views_of_torchvision_and_kornia(height: int, width: int) -> None:
    pixels, recipe = photograph(height, width), make_recipe(levels=(0.25,))
    fit = preprocessing(256, 224, antialias=False)
    field = draw_field(pixels, recipe)
    x = (pixels.image + 0.25 * field).clamp(0, 1)
    once = gaussian_blur2d(x[None], (5, 5), (1.0, 1.0))[0]
    twice = gaussian_blur2d(once[None], (5, 5), (1.0, 1.0))[0]
    plain = [T.center_crop(T.resize(one, [256], antialias=False), [224, 224]) for one in (x, once, twice)]
    assert (draw_views(pixels, field, recipe, fit, CPU) - torch.stack(plain)).abs().max() < 1e-5
    # 25,600 pixels long, it is not resized as a whole again where labels are close.
    assert not merges_steps(pixels, recipe, fit)
    assert merges_steps(photograph(375, 500), recipe, fit)


@pytest.mark.parametrize(
    ("height", "width", "code"), [(2, 40, "too_small"), (40, 2, "too_small"), (3, 20_000, "too_narrow")]
)
def test_what_cannot_be_drawn_says_why(height: int, width: int, code: str) -> None:
    with pytest.raises(Unusable) as reason:
        draw_views(photograph(height, width), torch.zeros(3, height, width), make_recipe(), preprocessing(), CPU)
    assert reason.value.code == code
    assert f"{width}×{height}" in reason.value.message


# -- perturbations and smoothers of every kind -------------------------------------------------------------------


class Mirror(Perturbation):
    """Turns the image over: x at a pixel depends on another pixel."""

    name = "mirror"

    def perturb(self, subject: Subject, levels: Sequence[float]) -> Iterator[torch.Tensor]:
        for level in levels:
            yield subject.image.flip(1) * (1 - level)


class Largest(Smoother):
    """The largest of 3×3 pixels: not linear."""

    name = "largest"

    def smooth(self, images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        largest: torch.Tensor = F.max_pool2d(images, 3, stride=1, padding=1)
        return largest


GAUSSIANS = Steps(PERTURBATIONS["gaussian"], SMOOTHERS["gaussian"])


@pytest.mark.parametrize("at_once", [1, 100_000, 10**9])
@pytest.mark.parametrize(
    "steps", [Steps(Mirror(), GAUSSIANS.smoother), Steps(GAUSSIANS.perturbation, Largest()), Steps(Mirror(), Largest())]
)
def test_views_of_any_perturbation_and_smoother_are_those_of_single_steps(
    monkeypatch: pytest.MonkeyPatch, steps: Steps, at_once: int
) -> None:
    monkeypatch.setattr(views, "steps_of", lambda _: steps)
    monkeypatch.setattr(matrices.SMOOTHERS, "find", lambda _: steps.smoother)
    monkeypatch.setattr(views, "SMOOTHED_AT_ONCE", at_once)
    # The name keeps the matrices of one smoother from another's: it is part of the recipe.
    flags = {"perturbation": "gaussian", "smoother": steps.smoother.name}
    assert largest_difference(photograph(333, 250), preprocessing(), **flags) < ROUNDING
    assert not merges_steps(photograph(333, 250), make_recipe(), preprocessing())


def test_a_worker_that_does_not_have_a_recipes_steps_refuses_in_one_line() -> None:
    for flags in ({"perturbation": "from_tomorrow"}, {"smoother": "from_tomorrow"}):
        with pytest.raises(Refusal, match=r"this machine cannot do the run: there is no .* 'from_tomorrow'") as refused:
            steps_of(make_recipe(**flags))
        assert "\n" not in str(refused.value)
