import pytest
import torch

from db.recipe import make_recipe
from worker.smoothers.box import MEMBER

RECIPE = make_recipe(kernel_size=3)


def test_a_pixel_becomes_the_mean_of_its_neighbours() -> None:
    image = torch.tensor([[9.0, 2, 3], [4, 50, 6], [7, 8, 1]]).expand(1, 3, 3, 3) / 90
    # The nine add up to 90.
    assert MEMBER.smooth(image, RECIPE)[0, :, 1, 1].tolist() == pytest.approx([1 / 9] * 3)


def test_a_border_is_reflected_without_its_edge() -> None:
    # One row 0 1 2 3 4, reflected: 1 |0 1 2 3 4| 3. The means of 1 0 1, 0 1 2, …, 3 4 3.
    rows = (torch.arange(5.0) / 4).expand(1, 3, 5, 5)
    expected = torch.tensor([2 / 3, 1, 2, 3, 10 / 3]) / 4
    assert torch.allclose(MEMBER.smooth(rows, RECIPE)[0, 0], expected.expand(5, 5), atol=1e-6)


def test_a_dot_becomes_a_square_of_the_kernels_size() -> None:
    dot = torch.zeros(1, 3, 9, 9)
    dot[..., 4, 4] = 1
    expected = torch.zeros(9, 9)
    expected[2:7, 2:7] = 1 / 25
    assert torch.allclose(MEMBER.smooth(dot, make_recipe(kernel_size=5))[0, 1], expected, atol=1e-6)
