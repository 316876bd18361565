import pytest
import torch

from db.recipe import make_recipe
from worker.smoothers.total_variation import MEMBER, WEIGHT


def smoothed(*row: float, sigma: float = 1) -> list[float]:
    """A row of grey pixels, smoothed as an image of that one row."""
    image = torch.tensor(row, dtype=torch.float32).expand(1, 3, 1, -1)
    x = MEMBER.smooth(image, make_recipe(kernel_sigma=sigma))
    assert torch.equal(x[0, 0], x[0, 2])
    return x[0, 0, 0].tolist()


def test_both_sides_of_an_edge_come_closer_by_the_weight_over_their_widths() -> None:
    # |v - u| + n(u² + (1 - v)²)/2λ is least at u = λ/n and v = 1 - λ/n.
    assert smoothed(0, 1) == pytest.approx([WEIGHT, 1 - WEIGHT], abs=1e-3)
    assert smoothed(0, 0, 1, 1) == pytest.approx([WEIGHT / 2] * 2 + [1 - WEIGHT / 2] * 2, abs=0.01)
    assert smoothed(0, 1, sigma=2) == pytest.approx([2 * WEIGHT, 1 - 2 * WEIGHT], abs=1e-3)


def test_an_edge_lower_than_twice_the_weight_vanishes() -> None:
    assert smoothed(0.45, 0.55) == pytest.approx([0.5, 0.5], abs=1e-3)


def test_rows_and_columns_are_treated_alike() -> None:
    torch.manual_seed(0)
    image = torch.rand(1, 3, 9, 14)
    turned = MEMBER.smooth(image.transpose(2, 3), make_recipe()).transpose(2, 3)
    assert torch.allclose(MEMBER.smooth(image, make_recipe()), turned, atol=1e-6)


def test_a_smoothed_image_has_less_variation_and_the_same_mean() -> None:
    torch.manual_seed(0)
    image = 0.5 + 0.1 * torch.randn(1, 3, 40, 40)
    x = MEMBER.smooth(image, make_recipe())
    assert x.diff(dim=2).abs().mean() < 0.1 * image.diff(dim=2).abs().mean()
    assert x.mean().item() == pytest.approx(image.mean().item(), abs=1e-4)
