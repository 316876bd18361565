import pytest
import torch

from worker.keys import Key
from worker.perturbations.speckle import MEMBER

KEY = Key(bytes(32), 0)


def test_noise_is_in_proportion_to_the_pixel_and_clamped() -> None:
    values = torch.tensor([0.5, 0.2, 0.0, 0.8, 0.4])
    field = torch.tensor([1.0, -2.0, 3.0, 1.0, -3.0])
    # .5 + .5·.4, .2 - .2·.8, black stays black, .8 + .8·.4 = 1.12, .4 - .4·1.2 = -.08.
    assert MEMBER.at(values, field, 0.4).tolist() == pytest.approx([0.7, 0.04, 0, 1, 0])


def test_a_level_of_0_leaves_the_image_as_it_is() -> None:
    image = torch.rand(3, 5, 5)
    assert MEMBER.at(image, MEMBER.draw(KEY, 5, 5), 0) is image


@pytest.mark.parametrize("value", [0.1, 0.25, 0.5])
def test_the_standard_deviation_is_a_share_of_the_pixel(value: float) -> None:
    noise = MEMBER.at(torch.full((3, 300, 300), value), MEMBER.draw(KEY, 300, 300), 0.2) - value
    # 270,000 values of standard deviation .2·value: it is known to .14 %, the mean to .0004·value.
    assert noise.std().item() == pytest.approx(0.2 * value, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=0.002 * value)


def test_its_noise_is_not_that_of_the_gaussian() -> None:
    gaussians = torch.randn(3, 50, 50, generator=KEY.generator())
    assert not torch.equal(MEMBER.draw(KEY, 50, 50), gaussians)
