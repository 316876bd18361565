import math

import pytest
import torch

from db.recipe import make_recipe
from worker.smoothers.non_local_means import MEMBER, H

#: Black on the left, white on the right: the edge is between columns 3 and 4.
EDGE = torch.tensor([0.0] * 4 + [1.0] * 4).expand(1, 3, 6, 8)


@pytest.mark.parametrize("sigma", [1, 2])
def test_a_pixel_weighs_by_how_alike_the_patches_around_it_are(sigma: float) -> None:
    # Patches of 3 columns: those around columns 2, 3 and 4 are 000, 001 and 011. Either differs from the middle one in
    # a third of its pixels, and only the last has a white pixel in its middle.
    weight = math.exp(-(1 / 3) / (H * sigma) ** 2)
    smoothed = MEMBER.smooth(EDGE, make_recipe(kernel_size=3, kernel_sigma=sigma))
    assert smoothed[0, :, 2, 3].tolist() == pytest.approx([weight / (1 + 2 * weight)] * 3, abs=1e-6)
    assert smoothed[0, :, 2, 1].tolist() == pytest.approx([0] * 3, abs=1e-6)


def test_the_whole_window_is_searched_and_no_more() -> None:
    # The middle of a dot finds no patch like its own; with a large h all 25 of the window weigh alike.
    dot = torch.zeros(1, 3, 11, 11)
    dot[..., 5, 5] = 1
    smoothed = MEMBER.smooth(dot, make_recipe(kernel_size=5, kernel_sigma=100))
    expected = torch.zeros(11, 11)
    expected[3:8, 3:8] = 1 / 25
    assert torch.allclose(smoothed[0, 0], expected, atol=1e-4)


def test_noise_falls_on_a_flat_image() -> None:
    torch.manual_seed(0)
    noisy = 0.5 + 0.1 * torch.randn(1, 3, 64, 64)
    assert MEMBER.smooth(noisy, make_recipe()).std() < 0.3 * noisy.std()
