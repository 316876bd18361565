"""What an attacker sees: the views of the worker, their gradients, the vote's answers, and the label aimed at."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from attacks import CLASSES, CPU, FIT, attacked, classifier, network, subject
from torch import nn

from db.errors import Refusal, WrongUse
from db.recipe import Preprocessing, Recipe, make_recipe
from worker import matrices
from worker.attacks.aim import _loaded, aim_of, aim_of_record
from worker.attacks.attacked import Attacked, smoothed, transposed
from worker.images import Pixels
from worker.matrices import Bags
from worker.models import Model
from worker.perturbations import PERTURBATIONS, Aim, Subject
from worker.pipeline import Case, predict
from worker.preprocess import fit
from worker.smoothers import SMOOTHERS, Smoother
from worker.views import draw_views, plain_views

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def seen(one: Subject) -> Attacked:
    assert one.aim is not None
    told = PERTURBATIONS[one.recipe.perturbation].options.model_validate(dict(one.recipe.options or ()))
    return Attacked(one, one.aim, told)  # type: ignore[arg-type]


# -- views and gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoother", ["gaussian", "median"])
@pytest.mark.parametrize("attacker", ["model", "defence"])
def test_an_attacker_sees_the_views_of_the_worker(smoother: str, attacker: str) -> None:
    one = subject("fgsm", attacker=attacker, smoother=smoother, levels=(0.0,))
    pixels = Pixels(one.image.permute(1, 2, 0), one.key.digest)
    expected = plain_views(pixels, one.field, make_recipe(levels=(0.0,), smoother=smoother), FIT, range(3))
    logits = seen(one).logits(one.image[None])
    views = 3 if attacker == "defence" else 1
    assert logits.shape == (1, views, CLASSES)
    assert torch.allclose(logits[0], network(FIT)(expected)[:views], atol=1e-5)


@pytest.mark.parametrize("smoother", ["gaussian", "median"])
@pytest.mark.parametrize("attacker", ["model", "defence"])
@pytest.mark.parametrize("target", ["none", "3"])
def test_gradients_are_those_of_single_steps(smoother: str, attacker: str, target: str) -> None:
    one = subject("fgsm", attacker=attacker, smoother=smoother, target=target, label=1)
    recipe, member, model = one.recipe, SMOOTHERS[smoother], network(FIT)
    batch = torch.stack([one.image, one.image * 0.9])
    with torch.enable_grad():
        images = batch.clone().requires_grad_()
        view, loss = images, torch.zeros(())
        for _ in range(3 if attacker == "defence" else 1):
            losses = nn.functional.cross_entropy(
                model(fit(view, FIT)), torch.tensor([1, 1] if target == "none" else [3, 3]), reduction="sum"
            )
            loss = loss + (losses if target == "none" else -losses)
            view = member.smooth(view, recipe)
        (expected,) = torch.autograd.grad(loss, images)
    assert torch.allclose(seen(one).gradients(batch), expected, atol=1e-6)
    assert expected.abs().max() > 0.01
    assert float(seen(one).gains(batch).sum()) == pytest.approx(float(loss), abs=1e-4)


def test_a_transposed_matrix_has_rows_for_columns() -> None:
    # [[0, 2, 0], [0, 0, 0], [3, 4, 0]]
    bags = Bags(torch.tensor([1, 0, 1]).int(), torch.tensor([0, 1, 1]).int(), torch.tensor([2.0, 3.0, 4.0]))
    assert bags.times(torch.eye(3)).tolist() == [[0, 2, 0], [0, 0, 0], [3, 4, 0]]
    assert transposed(bags, 3).times(torch.eye(3)).tolist() == [[0, 0, 3], [2, 0, 4], [0, 0, 0]]


class Rounds(Smoother):
    """Rounds to tenths: its gradient is 0 almost everywhere."""

    name = "rounds"

    def smooth(self, images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        return torch.tensor((images.numpy() * 10).round() / 10)


def test_a_smoother_without_a_gradient_is_passed_over_on_the_way_back() -> None:
    with torch.enable_grad():
        images = torch.tensor([[[[0.12, 0.58]]]], requires_grad=True)
        found = smoothed(images, Rounds(), Recipe())
        assert torch.allclose(found, torch.tensor([[[[0.1, 0.6]]]]))
        (gradient,) = torch.autograd.grad((found * torch.tensor([2.0, 3.0])).sum(), images)
    assert gradient.tolist() == [[[[2, 3]]]]


def test_such_a_smoother_does_not_stop_an_attacker_who_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SMOOTHERS, "find", lambda _: Rounds())
    monkeypatch.setattr(matrices.SMOOTHERS, "find", lambda _: Rounds())
    one = subject("pgd-linf", attacker="defence", smoother="rounds")
    images = torch.stack(attacked(one, 0, 0.1))
    clean, changed = seen(one).gains(images.clone()).tolist()
    assert changed > clean + 1


def test_an_image_sends_three_views_at_a_time_through_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []

    class Spy(nn.Module):
        def forward(self, views: torch.Tensor) -> torch.Tensor:
            passes.append(len(views))
            return network(FIT)(views)

    told: list[None] = []

    def spied(attacker: str, levels: int) -> list[int]:
        passes.clear()
        told.clear()
        one = subject("pgd-linf", attacker=attacker, steps=2)
        one = one._replace(aim=Aim(Spy(), FIT, label=0, after_pass=lambda: told.append(None)))
        attacked(one, *(number / 100 for number in range(1, levels + 1)))
        assert len(told) == len(passes), "a worker shows after each pass that it is alive"
        return passes

    # The clean image, then for each of two steps all levels.
    assert spied("model", 4) == [1, 3, 1, 3, 1]
    assert spied("defence", 2) == [3, 3, 3, 3, 3]
    # A large image: its levels in turn, each with both of its steps.
    monkeypatch.setattr("worker.attacks.PIXELS_AT_ONCE", 24 * 24 * 2)
    assert spied("model", 3) == [1, 2, 2, 1, 1]


# -- the label and the target ------------------------------------------------------------------------------------


def test_the_label_is_the_true_one_or_else_what_the_model_says() -> None:
    says = int(network(FIT)(fit(subject("fgsm").image[None], FIT)).argmax())
    assert seen(subject("fgsm")).label == says
    assert seen(subject("fgsm", label=(says + 1) % CLASSES)).label == (says + 1) % CLASSES


def test_targets_are_none_a_class_the_least_likely_or_any_other_at_random() -> None:
    one = subject("fgsm", target="least-likely")
    assert seen(one).target == int(network(FIT)(fit(one.image[None], FIT)).argmin())
    assert seen(subject("fgsm")).target is None
    assert seen(subject("fgsm", target="5")).target == 5
    drawn = [seen(subject("fgsm", target="random", label=2, picture=number)).target for number in range(25)]
    assert set(drawn) == {0, 1, 3, 4, 5}
    assert drawn == [seen(subject("fgsm", target="random", label=2, picture=number)).target for number in range(25)]


# -- the vote's answers ------------------------------------------------------------------------------------------


def answered(*labels: int, label: int, target: str = "none") -> bool:
    """Whether three views with these labels fool the vote."""

    class Says(nn.Module):
        def forward(self, views: torch.Tensor) -> torch.Tensor:
            return nn.functional.one_hot(torch.tensor(labels), CLASSES).float()

    one = subject("square", attacker="defence", target=target)
    one = one._replace(aim=Aim(Says(), FIT, label))
    return bool(seen(one).answers(one.image[None]).fooled[0])


def test_the_vote_is_fooled_if_it_accepts_a_wrong_label_and_not_if_it_rejects() -> None:
    assert not answered(1, 1, 2, label=1)
    assert answered(2, 1, 2, label=1)
    assert not answered(1, 2, 3, label=1)
    assert not answered(4, 2, 3, label=1)
    assert answered(3, 3, 2, label=1, target="3")
    assert not answered(2, 3, 2, label=1, target="3")


def test_a_margin_is_that_of_the_mean_probabilities() -> None:
    one = subject("square", attacker="defence", label=2)
    logits = seen(one).logits(one.image[None])[0]
    mean = logits.softmax(1).mean(0).log()
    expected = mean[2] - max(mean[other] for other in range(CLASSES) if other != 2)
    assert float(seen(one).answers(one.image[None]).margins[0]) == pytest.approx(float(expected), abs=1e-5)


# -- through the worker ------------------------------------------------------------------------------------------


def images(count: int) -> list[Case]:
    def case(number: int) -> Case:
        one = subject("fgsm", picture=number, side=24 + number % 3)
        return Case(number, lambda: Pixels(one.image.permute(1, 2, 0), one.key.digest), label=number % CLASSES)

    return [case(number) for number in range(count)]


def rows(cases: list[Case], batch_size: int = 12, lanes: int = 1, **options: Any) -> list[Any]:
    recipe = make_recipe(perturbation="pgd-linf", levels=(0, 0.05, 0.1), options={"steps": 3} | options)
    made = classifier()
    made.batch_size, made.lanes = batch_size, lanes
    return [row for found in predict(cases, recipe, made) for row in found.predicted]


def test_rows_do_not_depend_on_batches_lanes_or_order() -> None:
    cases = images(7)
    expected = rows(cases)
    assert len(expected) == 21
    assert rows(cases, batch_size=40) == rows(cases, lanes=3) == expected
    shuffled = random.Random(0).sample(cases, 7)
    assert sorted(rows(shuffled), key=lambda row: (row.image_id, row.level)) == expected


def test_fewer_images_are_right_under_attack() -> None:
    cases = [case._replace(label=None) for case in images(8)]  # right is what the model says of the clean image
    right = {}
    for attacker in ("model", "defence"):
        found = rows(cases, attacker=attacker, steps=10)
        right[attacker] = sum(
            row.label_maj == clean.label_maj for row, clean in zip(found[2::3], found[::3], strict=True)
        )
    assert right["defence"] <= right["model"] < 8


def test_a_transfer_attack_is_made_on_another_model_with_its_own_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Preprocessing(18, 16, "bilinear", True, (0, 0, 0), (1, 1, 1))
    made: list[Recipe] = []

    def load(recipe: Recipe) -> Model:
        made.append(recipe)
        return Model(network(other, 5).network, other, "5" * 64)

    monkeypatch.setattr("worker.attacks.aim.load", load)
    _loaded.cache_clear()
    recipe = make_recipe(
        perturbation="fgsm", levels=(0, 0.1), options={"attack_model": "timm/other"}, classes=tuple("abcdef")
    )
    for _ in range(2):
        aim = aim_of(recipe, classifier())
    _loaded.cache_clear()
    assert aim is not None
    assert aim.preprocessing == other
    assert [(one.model, one.classes) for one in made] == [("timm/other", tuple("abcdef"))], "it is loaded once"
    assert torch.allclose(aim.network(torch.ones(1, 3, 16, 16)), network(other, 5)(torch.ones(1, 3, 16, 16)))
    own = make_recipe(perturbation="fgsm", levels=(0, 0.1))
    pixels = Pixels(subject("fgsm").image.permute(1, 2, 0), bytes(32))
    views = [
        draw_views(pixels, torch.empty(0), one, FIT, CPU, aim)
        for one, aim in ((recipe, aim), (own, aim_of(own, classifier())))
    ]
    assert torch.equal(views[0][:3], views[1][:3])
    assert (views[0][3:] - views[1][3:]).abs().max() > 0.05


def test_a_recorded_attack_is_drawn_only_with_the_weights_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.attacks.aim.load", lambda _: Model(network(FIT).network, FIT, "0" * 64))
    _loaded.cache_clear()
    recipe = make_recipe(perturbation="fgsm", levels=(0, 0.1))
    aim = aim_of_record(recipe, FIT, "0" * 64)
    with pytest.raises(Refusal, match="are not those of the run: its attack cannot be drawn"):
        aim_of_record(recipe, FIT, "1" * 64)
    _loaded.cache_clear()
    pixels = Pixels(subject("fgsm").image.permute(1, 2, 0), bytes(32))
    drawn = [draw_views(pixels, torch.empty(0), recipe, FIT, CPU, one) for one in (aim, aim_of(recipe, classifier()))]
    assert torch.allclose(drawn[0], drawn[1], atol=1e-6)


def test_noise_needs_no_aim() -> None:
    assert aim_of(Recipe(), classifier()) is None
    assert aim_of_record(Recipe(), FIT, None) is None


def test_the_model_of_a_transfer_attack_is_no_file() -> None:
    with pytest.raises(WrongUse, match="--attack-model: name a model"):
        PERTURBATIONS["fgsm"].settle({"attack_model": "weights.pth"})
    with pytest.raises(WrongUse, match="--attack-model: unknown model 'lena'"):
        PERTURBATIONS["fgsm"].settle({"attack_model": "lena"})
