import math

import pytest
import torch

from db.recipe import make_recipe
from worker.smoothers.bilateral import COLOR, MEMBER

RECIPE = make_recipe(kernel_size=3, kernel_sigma=1)
#: Black on the left, white on the right: the edge is between columns 3 and 4.
EDGE = torch.tensor([0.0] * 4 + [1.0] * 4).expand(1, 3, 6, 8)


def test_a_pixel_across_an_edge_weighs_less() -> None:
    # A column's neighbour weighs e^-½; across the edge also exp(-3/2·COLOR²), since black and white differ by √3.
    near, apart = math.exp(-1 / 2), math.exp(-3 / (2 * COLOR**2))
    expected = near * apart / (near + 1 + near * apart)
    smoothed = MEMBER.smooth(EDGE, RECIPE)[0, :, 2]
    assert smoothed[:, 3].tolist() == pytest.approx([expected] * 3, abs=1e-6)
    assert smoothed[:, 4].tolist() == pytest.approx([1 - expected] * 3, abs=1e-6)
    assert smoothed[0, :3].tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_likeness_in_colour_is_that_of_all_channels_together() -> None:
    # Red has an edge and green has none: both are weighted alike, so that green stays flat.
    image = EDGE.clone()
    image[:, 1] = 0.5
    smoothed = MEMBER.smooth(image, RECIPE)[0, :, 2, 3]
    near, apart = math.exp(-1 / 2), math.exp(-2 / (2 * COLOR**2))
    expected = near * apart / (near + 1 + near * apart)
    assert smoothed.tolist() == pytest.approx([expected, 0.5, expected], abs=1e-6)
