import pytest
import torch
from kornia.filters import median_blur

from db.recipe import make_recipe
from worker.smoothers import median
from worker.smoothers.median import MEMBER


def test_a_pixel_becomes_the_median_of_its_neighbours() -> None:
    image = torch.tensor([[9.0, 2, 3], [4, 50, 6], [7, 8, 1]]).expand(1, 3, 3, 3) / 50
    # Of 1 2 3 4 6 7 8 9 50 the fifth.
    assert MEMBER.smooth(image, make_recipe(kernel_size=3))[0, :, 1, 1].tolist() == pytest.approx([6 / 50] * 3)


def test_a_border_is_reflected_without_its_edge() -> None:
    # One row 0 1 2 3 4, reflected: 1 |0 1 2 3 4| 3. The medians of 1 0 1, 0 1 2, …, 3 4 3.
    rows = (torch.arange(5.0) / 4).expand(1, 3, 5, 5)
    smoothed = MEMBER.smooth(rows, make_recipe(kernel_size=3))
    assert torch.equal(smoothed[0, 0], (torch.tensor([1.0, 1, 2, 3, 3]) / 4).expand(5, 5))


def test_single_pixels_of_salt_and_pepper_are_gone_after_one_pass() -> None:
    image = torch.full((1, 3, 12, 12), 0.5)
    image[..., 3, 3], image[..., 7, 8] = 0, 1
    assert torch.equal(MEMBER.smooth(image, make_recipe(kernel_size=3)), torch.full((1, 3, 12, 12), 0.5))


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("values", [1, 20_000, 10**9])
def test_bands_do_not_show(monkeypatch: pytest.MonkeyPatch, size: int, values: int) -> None:
    monkeypatch.setattr(median, "VALUES", values)
    torch.manual_seed(0)
    images = torch.rand(2, 3, 41, 30)
    assert torch.equal(MEMBER.smooth(images, make_recipe(kernel_size=size)), median_blur(images, size))
