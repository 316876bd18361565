import math

import pytest
import torch

from worker.keys import Key
from worker.perturbations.uniform import MEMBER

KEY = Key(bytes(32), 0)


def test_noise_is_scaled_by_its_amplitude_and_clamped() -> None:
    field = torch.tensor([-1.0, -0.5, 0.0, 0.9])
    x = MEMBER.at(torch.tensor([0.1, 0.6, 0.5, 0.7]), field, 0.4)
    assert x.tolist() == pytest.approx([0, 0.4, 0.5, 1])  # -.3 and 1.06 are clamped


def test_an_amplitude_of_0_leaves_the_image_as_it_is() -> None:
    image = torch.rand(3, 5, 5)
    assert MEMBER.at(image, MEMBER.draw(KEY, 5, 5), 0) is image


def test_noise_is_uniform_between_its_amplitude_and_minus_that() -> None:
    noise = MEMBER.at(torch.full((3, 300, 300), 0.5), MEMBER.draw(KEY, 300, 300), 0.3) - 0.5
    # 270,000 values: the mean is known to .0003, the standard deviation to .0002, a quarter to .001.
    assert noise.abs().max().item() == pytest.approx(0.3, abs=1e-4)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert noise.std().item() == pytest.approx(0.3 / math.sqrt(3), abs=0.001)
    assert (noise < -0.15).float().mean().item() == pytest.approx(0.25, abs=0.005)


def test_each_channel_and_each_seed_has_noise_of_its_own() -> None:
    field = MEMBER.draw(KEY, 300, 300)
    assert abs(torch.corrcoef(field.flatten(1))[0, 1]) < 0.02
    assert not torch.equal(MEMBER.draw(Key(bytes(32), 1), 300, 300), field)
