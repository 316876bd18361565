import pytest
import torch

from db.recipe import make_recipe
from worker.smoothers.jpeg import MEMBER, quality_of


@pytest.mark.parametrize(
    ("scale", "quality"), [(1, 50), (0.5, 75), (2, 25), (0.1, 95), (5, 10), (0.001, 100), (100, 1)]
)
def test_the_scale_of_the_quantisation_steps_is_a_quality(scale: float, quality: int) -> None:
    assert quality_of(scale) == quality


def test_grey_is_quantised_in_steps_of_two_at_quality_50() -> None:
    # The mean of a block is stored as 8·(grey - 128), in steps of 16.
    greys = torch.arange(90, 110)
    image = (greys / 255).repeat_interleave(16).expand(1, 3, 16, -1)
    found = MEMBER.smooth(image, make_recipe()).mul(255).round()[0, 0, 0, ::16].long()
    assert (found % 2 == 0).all()
    assert (found - greys).abs().max() == 1


def test_a_faint_checkerboard_vanishes_and_a_strong_one_stays() -> None:
    # Its largest coefficient is 6.6 times its amplitude, and the step of that frequency is 99.
    board = torch.tensor([[1.0, -1], [-1, 1]]).repeat(8, 8).expand(1, 3, 16, 16)
    for amplitude, kept in ((4, 0), (40, 1)):
        smoothed = MEMBER.smooth((128 + amplitude * board) / 255, make_recipe()).mul(255) - 128
        assert (smoothed.abs().max() > amplitude / 2) == kept


def test_values_between_two_bytes_are_rounded_and_sizes_need_not_be_those_of_blocks() -> None:
    image = torch.full((2, 3, 13, 7), 0.4 + 0.4 / 255)
    assert torch.allclose(MEMBER.smooth(image, make_recipe()), torch.tensor(0.4))
