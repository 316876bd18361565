import torch

from db.recipe import UNSMOOTHED, Preprocessing, Recipe, make_recipe
from worker.images import Pixels
from worker.smoothers import SMOOTHERS
from worker.views import draw_field, draw_views

MEMBER = SMOOTHERS[UNSMOOTHED]


def test_values_stay_as_they_are_also_beyond_0_and_1() -> None:
    images = torch.tensor([-1.5, 0.25, 3]).expand(1, 3, 1, 3)
    assert torch.equal(MEMBER.smooth(images, Recipe()), images)


def test_the_three_views_of_a_vote_are_one() -> None:
    recipe = make_recipe(levels=(0, 0.25), smoother=UNSMOOTHED)
    pixels = Pixels(torch.rand(12, 17, 3), bytes(32))
    plain = Preprocessing(8, 8, "bilinear", True, (0, 0, 0), (1, 1, 1))
    views = draw_views(pixels, draw_field(pixels, recipe), recipe, plain, torch.device("cpu"))
    ns, ss, ds = views.view(2, 3, -1).unbind(1)
    assert torch.equal(ns, ss)
    assert torch.equal(ns, ds)
