"""The family of smoothers, and its first member: the article's Gaussian kernel."""

import math

import pytest
import torch

from db.recipe import Recipe, make_recipe
from worker.smoothers import SMOOTHERS, Separable, Smoother

GAUSSIAN = SMOOTHERS.find("gaussian")


def blurred(image: torch.Tensor, **kernel: float) -> torch.Tensor:
    """A (3, H, W) image, smoothed once by the Gaussian."""
    return GAUSSIAN.smooth(image[None], make_recipe(**kernel))[0]


# -- every member ------------------------------------------------------------------------------------------------


# tests/test_denoiser.py tests the one that takes a file.
@pytest.fixture(params=[name for name, one in SMOOTHERS.items() if not one.takes_file])
def member(request: pytest.FixtureRequest) -> Smoother:
    return SMOOTHERS[request.param]


def test_a_member_uses_fields_that_a_recipe_has(member: Smoother) -> None:
    assert set(member.uses) <= {"kernel_size", "kernel_sigma"}


def test_a_flat_image_stays_flat(member: Smoother) -> None:
    flat = torch.full((1, 3, 7, 9), 0.4)  # also where images are stored in bytes: 102 of 255
    assert torch.allclose(member.smooth(flat, Recipe()), flat, atol=1e-6)


def test_an_image_is_smoothed_the_same_alone_and_among_others(member: Smoother) -> None:
    torch.manual_seed(0)
    images = torch.rand(4, 3, 20, 31)
    kept = images.clone()
    together = member.smooth(images, Recipe())
    assert together.shape == images.shape
    assert 0 <= together.min() <= together.max() <= 1
    assert torch.equal(member.smooth(images[2:3], Recipe()), together[2:3])
    assert torch.equal(images, kept)


def test_the_smallest_side_is_enough(member: Smoother) -> None:
    recipe = make_recipe(kernel_size=7)
    side = member.smallest_side(recipe)
    assert member.smooth(torch.rand(1, 3, side, side), recipe).shape == (1, 3, side, side)


def test_the_gradient_of_a_differentiable_member_is_that_of_its_differences(member: Smoother) -> None:
    torch.manual_seed(0)
    images, weights, step = torch.rand(3, 1, 3, 9, 11, dtype=torch.float64)

    def weighed(moved: float) -> torch.Tensor:
        return (member.smooth(images + moved * step, Recipe()) * weights).sum()

    images.requires_grad_()
    if not member.differentiable:
        assert not weighed(0).requires_grad
        return
    (gradient,) = torch.autograd.grad(weighed(0), images)
    with torch.no_grad():
        difference = (weighed(1e-6) - weighed(-1e-6)) / 2e-6
    assert (gradient * step).sum().item() == pytest.approx(difference.item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("member", [one for one in SMOOTHERS.values() if isinstance(one, Separable)])
def test_a_separable_member_filters_rows_and_columns_one_after_the_other(member: Separable) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 20, 31)
    down = member.along_height(images, Recipe())
    both = member.along_height(down.transpose(2, 3), Recipe()).transpose(2, 3)
    assert torch.allclose(member.smooth(images, Recipe()), both, atol=1e-6)
    dot = torch.zeros(1, 1, 31, 1)
    dot[0, 0, 15] = 1
    reached = member.along_height(dot, Recipe()).flatten().nonzero().flatten()
    assert (reached - 15).abs().max() <= member.reach(Recipe())


# -- the Gaussian ------------------------------------------------------------------------------------------------


def test_single_smoothing_is_a_5_by_5_gaussian_of_sigma_1() -> None:
    weights = torch.tensor([math.exp(-(x**2) / 2) for x in (-2, -1, 0, 1, 2)])
    weights /= weights.sum()
    dot = torch.zeros(3, 11, 11)
    dot[:, 5, 5] = 1
    expected = torch.zeros(11, 11)
    expected[3:8, 3:8] = weights[:, None] * weights[None, :]
    assert torch.allclose(blurred(dot)[0], expected, atol=1e-6)


def test_double_smoothing_reaches_9_by_9_pixels() -> None:
    dot = torch.zeros(3, 15, 15)
    dot[:, 7, 7] = 1
    reached = blurred(blurred(dot))[0].nonzero()
    assert reached.amin(0).tolist() == [3, 3]
    assert reached.amax(0).tolist() == [11, 11]


def test_the_border_is_reflected_without_its_edge() -> None:
    # One row 0 1 2 3 4, reflected: 2 1 |0 1 2 3 4| 3 2. With a kernel of 3, weights w 1-2w w, the first is 2w·1.
    row = torch.arange(5.0).expand(3, 5, 5).contiguous()
    w = math.exp(-0.5) / (1 + 2 * math.exp(-0.5))
    assert blurred(row, kernel_size=3)[0, 2, 0].item() == pytest.approx(2 * w, abs=1e-6)
