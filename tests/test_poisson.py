import math

import pytest
import torch

from db.errors import WrongUse
from db.recipe import Preprocessing, Recipe
from worker.keys import Key
from worker.perturbations import Subject
from worker.perturbations.poisson import MEMBER

FIT = Preprocessing(8, 8, "bilinear", False, (0, 0, 0), (1, 1, 1))


def perturbed(image: torch.Tensor, *levels: float, seed: int = 0) -> list[torch.Tensor]:
    subject = Subject(image, torch.empty(0), Key(bytes(32), seed), Recipe(), FIT)
    return list(MEMBER.perturb(subject, levels))


def test_every_value_is_a_number_of_photons() -> None:
    # At σ = .5 a photon is .25: five values are left.
    (x,) = perturbed(torch.full((3, 40, 40), 0.6), 0.5)
    assert set(x.unique().tolist()) == {0, 0.25, 0.5, 0.75, 1}


def test_a_level_of_0_leaves_the_image_as_it_is_and_black_stays_black_at_every_level() -> None:
    image = torch.rand(3, 5, 5)
    assert perturbed(image, 0)[0] is image
    assert all(x.count_nonzero() == 0 for x in perturbed(torch.zeros(3, 5, 5), 0.1, 0.5, 1))


@pytest.mark.parametrize("value", [0.1, 0.4, 0.6])
def test_the_mean_is_the_pixel_and_the_variance_grows_with_it(value: float) -> None:
    (x,) = perturbed(torch.full((3, 300, 300), value), 0.1)
    # 270,000 counts of 10, 40 or 60 photons: σ·√value is known to about .2 %.
    assert x.mean().item() == pytest.approx(value, rel=0.005)
    assert x.std().item() == pytest.approx(0.1 * math.sqrt(value), rel=0.01)


def test_counts_follow_the_poisson_distribution() -> None:
    # At σ = .5, a pixel of .5 counts 2 photons on average: none with probability e⁻², one with 2·e⁻².
    (x,) = perturbed(torch.full((3, 300, 300), 0.5), 0.5)
    assert (x == 0).float().mean().item() == pytest.approx(math.exp(-2), abs=0.004)
    assert (x == 0.25).float().mean().item() == pytest.approx(2 * math.exp(-2), abs=0.004)


def test_image_seed_and_level_decide_the_counts_and_the_number_of_threads_does_not() -> None:
    image = torch.full((3, 200, 300), 0.5)
    threads = torch.get_num_threads()
    try:
        drawn = []
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            drawn += perturbed(image, 0.2)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(x, drawn[0]) for x in drawn)
    assert not torch.equal(perturbed(image, 0.2, seed=1)[0], drawn[0])


def test_the_least_level_counts_right_and_a_lower_one_is_refused() -> None:
    # A million photons: x is the image, with a standard deviation of .001.
    (x,) = perturbed(torch.ones(3, 100, 100) / 2, 0.001)
    assert x.std().item() == pytest.approx(0.001 * math.sqrt(0.5), rel=0.03)
    MEMBER.check((0, 0.001))
    with pytest.raises(WrongUse, match=r"^--levels: 0\.0005 is too low; poisson takes σ = 0, or from 0\.001 on$"):
        MEMBER.check((0, 0.0005))
