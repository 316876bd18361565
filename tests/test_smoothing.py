import math

import pytest
import torch

from worker.smoothing import smooth
from worker.unusable import Unusable


def test_single_smoothing_is_a_5_by_5_gaussian_of_sigma_1() -> None:
    weights = torch.tensor([math.exp(-(x**2) / 2) for x in (-2, -1, 0, 1, 2)])
    weights /= weights.sum()
    dot = torch.zeros(3, 11, 11)
    dot[:, 5, 5] = 1
    expected = torch.zeros(11, 11)
    expected[3:8, 3:8] = weights[:, None] * weights[None, :]
    _, single, _ = smooth(dot, 5, 1.0)
    assert torch.allclose(single[0], expected, atol=1e-6)


def test_double_smoothing_reaches_9_by_9_pixels() -> None:
    dot = torch.zeros(3, 15, 15)
    dot[:, 7, 7] = 1
    _, _, double = smooth(dot, 5, 1.0)
    reached = double[0] > 0
    assert reached.nonzero().amin(0).tolist() == [3, 3]
    assert reached.nonzero().amax(0).tolist() == [11, 11]


def test_double_smoothing_is_single_smoothing_twice() -> None:
    image = torch.rand(3, 20, 30)
    none, single, double = smooth(image, 5, 1.0)
    assert torch.equal(double, list(smooth(single, 5, 1.0))[1])
    assert torch.equal(none, image)


def test_the_border_is_reflected_without_its_edge() -> None:
    # One row 0 1 2 3 4, reflected: 2 1 |0 1 2 3 4| 3 2. With a kernel of 3, weights w 1-2w w, the first is 2w·1.
    row = torch.arange(5.0).expand(3, 5, 5).contiguous()
    w = math.exp(-0.5) / (1 + 2 * math.exp(-0.5))
    _, single, _ = smooth(row, 3, 1.0)
    assert single[0, 2, 0].item() == pytest.approx(2 * w, abs=1e-6)


def test_a_flat_image_stays_flat() -> None:
    flat = torch.full((3, 7, 9), 0.3)
    _, _, double = smooth(flat, 5, 1.0)
    assert torch.allclose(double, flat, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 50), (50, 2)])
def test_an_image_too_small_to_be_reflected_is_unusable(height: int, width: int) -> None:
    with pytest.raises(Unusable, match="too_small") as raised:
        next(smooth(torch.rand(3, height, width), 5, 1.0))
    assert f"{width}×{height}" in raised.value.message
