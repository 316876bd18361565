"""Square and HopSkipJump: they learn from answers alone, and ask about no more images than their budget."""

from typing import Any

import pytest
import torch
from attacks import AS_IT_IS, CLASSES, FIT, attacked, network, subject
from test_gradient_attacks import foolbox
from torch import nn

from db.recipe import Preprocessing
from worker.attacks import boundary
from worker.attacks.attacked import Attacked
from worker.perturbations import PERTURBATIONS, Aim, Subject
from worker.perturbations.square import side_of
from worker.preprocess import fit

pytestmark = pytest.mark.usefixtures("one_thread")


class Asked(nn.Module):
    """Counts the images that the model is asked about, each of so many views."""

    def __init__(self, views: int, fit: Preprocessing = FIT) -> None:
        super().__init__()
        self.count, self.views, self.network = 0, views, network(fit)

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        self.count += len(views) // self.views
        logits: torch.Tensor = self.network(views)
        return logits


def counted(name: str, attacker: str = "model", **told: Any) -> tuple[Subject, Asked]:
    one = subject(name, attacker=attacker, **told)
    asked = Asked(3 if attacker == "defence" else 1)
    return one._replace(aim=Aim(asked, FIT, told.get("label"))), asked


def answers(one: Subject, *images: torch.Tensor) -> Any:
    assert one.aim is not None
    told = PERTURBATIONS[one.recipe.perturbation].options.model_validate(dict(one.recipe.options or ()))
    with torch.no_grad():
        return Attacked(one, one.aim, told).answers(torch.stack(images).clone())  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [1, 2, 7, 60])
@pytest.mark.parametrize("attacker", ["model", "defence"])
@pytest.mark.parametrize(("name", "level"), [("square", 0.01), ("hopskipjump", 0.5)])
def test_a_budget_is_never_exceeded(name: str, level: float, attacker: str, budget: int) -> None:
    one, asked = counted(name, attacker, budget=budget)
    (x,) = attacked(one, level)
    # One more tells the label of the clean image; square always spends all of it at a level that is too low.
    assert asked.count - 1 <= budget
    assert name == "hopskipjump" or asked.count - 1 == budget
    assert 0 <= x.min() <= x.max() <= 1
    difference = (x.double() - one.image.double()).flatten()
    assert difference.norm(p=torch.inf if name == "square" else 2) <= level


# -- square ------------------------------------------------------------------------------------------------------


def test_squares_shrink_by_the_schedule_of_the_paper() -> None:
    # .8 of 100×100 pixels, then half of that at each of the queries 10, 50, 200, 500 … of 10,000.
    sides = {query: side_of(query, 10_000, 100, 100) for query in (10, 11, 51, 201, 501, 8001)}
    assert sides == {10: 89, 11: 63, 51: 45, 201: 32, 501: 22, 8001: 4}
    assert side_of(600, 1000, 100, 100) == side_of(6000, 10_000, 100, 100)
    assert side_of(1, 10_000, 10, 1000) == 10


def test_square_lowers_the_margin_query_by_query_until_the_model_is_fooled() -> None:
    margins = []
    for budget in (1, 20, 200):
        one = subject("square", budget=budget)
        margins.append(float(answers(one, *attacked(one, 0.05)).margins[0]))
    assert margins[0] > margins[1] > margins[2]
    one, asked = counted("square", budget=2000)
    (x,) = attacked(one, 0.2)
    assert answers(one, x).fooled.tolist() == [True]
    assert asked.count < 1000


def test_every_level_of_square_is_searched_as_if_it_were_alone() -> None:
    together = attacked(subject("square", budget=100), 0.02, 0.05, 0.3)
    for level, x in zip((0.02, 0.05, 0.3), together, strict=True):
        (alone,) = attacked(subject("square", budget=100), level)
        assert torch.allclose(alone, x, atol=1e-7)


def test_square_reaches_a_target() -> None:
    one = subject("square", budget=1000, target="least-likely")
    clean, x = attacked(one, 0, 0.5)
    assert answers(one, clean, x).fooled.tolist() == [False, True]


# -- HopSkipJump ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attacker", ["model", "defence"])
def test_a_larger_epsilon_than_the_distance_has_the_image_that_fools(attacker: str) -> None:
    one = subject("hopskipjump", attacker=attacker, budget=600)
    near, far, further = attacked(one, 0.1, 20.0, 30.0)
    assert answers(one, near, far).fooled.tolist() == [False, True]
    assert torch.equal(far, further)
    way, short = far - one.image, near - one.image
    assert short.norm() == pytest.approx(0.1, abs=1e-4)
    assert torch.cosine_similarity(way.flatten(), short.flatten(), dim=0) > 0.999


def test_a_larger_budget_comes_nearer() -> None:
    distances = []
    for budget in (30, 300, 1500):
        one = subject("hopskipjump", budget=budget)
        distances.append(float((attacked(one, 50.0)[0] - one.image).norm()))
    assert distances[0] > distances[1] > distances[2]


def test_it_comes_as_near_as_foolbox_with_as_many_queries() -> None:
    ours, theirs = [], []
    for picture in range(2):
        one = subject("hopskipjump", AS_IT_IS, side=16, picture=picture)
        asked = Asked(1, AS_IT_IS).eval()
        says = asked(one.image[None]).argmax(dim=1)
        torch.manual_seed(picture)  # foolbox draws from PyTorch's own generator
        found = foolbox.attacks.HopSkipJumpAttack(steps=4).run(
            foolbox.PyTorchModel(asked, bounds=(0, 1), device="cpu"),
            one.image[None],
            foolbox.criteria.Misclassification(says),
        )
        theirs.append(float((found[0] - one.image).norm()))
        again = subject("hopskipjump", AS_IT_IS, side=16, picture=picture, budget=asked.count)
        ours.append(float((attacked(again, 50.0)[0] - one.image).norm()))
    assert sum(ours) < 1.1 * sum(theirs)


def test_an_image_that_the_model_has_wrong_already_is_left_as_it_is() -> None:
    one = subject("hopskipjump")
    says = int(network(FIT)(fit(one.image[None], FIT)).argmax())
    wrong, asked = counted("hopskipjump", label=(says + 1) % CLASSES)
    assert torch.equal(attacked(wrong, 1.0)[0], wrong.image)
    assert asked.count == 2


def test_starts_are_random_squares_of_several_sizes() -> None:
    one = subject("hopskipjump")
    assert one.aim is not None
    with torch.inference_mode(False), torch.no_grad():
        walk = boundary.Walk(Attacked(one, one.aim, PERTURBATIONS["hopskipjump"].settle({})), 1, one.key.generator())  # type: ignore[arg-type]
        start = walk._random(8)
    assert start.shape == (3, 24, 24)
    squares = start.unfold(1, 8, 8).unfold(2, 8, 8)
    assert torch.equal(squares, squares[..., :1, :1].expand_as(squares))
    assert len(start.unique()) == 27
