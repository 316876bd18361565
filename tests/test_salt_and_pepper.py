from itertools import pairwise

import pytest
import torch

from worker.keys import Key
from worker.perturbations.salt_and_pepper import MEMBER

GREY = torch.full((3, 200, 300), 0.5)
FIELD = MEMBER.draw(Key(bytes(32), 0), 200, 300)


def test_the_lowest_numbers_become_black_and_the_highest_white() -> None:
    # At d = .5 black below .25, white from .75 on.
    field = torch.tensor([[[0.0, 0.24, 0.25, 0.74, 0.75, 0.99]]])
    values = torch.tensor([0.3, 0.4, 0.5]).view(3, 1, 1).expand(3, 1, 6)
    x = MEMBER.at(values, field, 0.5)
    assert x[:, 0].tolist() == [
        pytest.approx([0, 0, own, own, 1, 1]) for own in (0.3, 0.4, 0.5)
    ]  # all channels of a pixel together


def test_nothing_changes_at_0_and_every_pixel_at_1() -> None:
    assert torch.equal(MEMBER.at(GREY, FIELD, 0), GREY)
    assert set(MEMBER.at(GREY, FIELD, 1).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("level", [0.05, 0.2, 0.7])
def test_that_share_of_the_pixels_changes_half_of_them_to_white(level: float) -> None:
    x = MEMBER.at(GREY, FIELD, level)[0]
    # Of 60,000 pixels a share of d is known to about .002, and a half of them to about .005.
    assert (x != 0.5).float().mean().item() == pytest.approx(level, abs=0.01)
    assert (x == 1).sum().item() / (x != 0.5).sum().item() == pytest.approx(0.5, abs=0.03)


def test_what_a_level_changes_every_higher_level_changes_to_the_same_colour() -> None:
    levels = [MEMBER.at(GREY, FIELD, level) for level in (0.05, 0.1, 0.4, 1)]
    for low, high in pairwise(levels):
        changed = low != 0.5
        assert torch.equal(low[changed], high[changed])


def test_its_numbers_are_its_own() -> None:
    assert torch.equal(MEMBER.draw(Key(bytes(32), 0), 200, 300), FIELD)
    assert not torch.equal(MEMBER.draw(Key(bytes(32), 1), 200, 300), FIELD)
    gaussians = torch.rand(1, 200, 300, generator=Key(bytes(32), 0).generator())
    assert not torch.equal(gaussians, FIELD)
