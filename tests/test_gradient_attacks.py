"""FGSM and PGD: against Foolbox, within their balls by property, and on their own terms."""

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from attacks import AS_IT_IS, CLASSES, attacked, image, subject
from hypothesis import given, settings
from hypothesis import strategies as st

from db.errors import Refusal
from worker.attacks import balls
from worker.attacks.attacked import Attacked
from worker.perturbations import PERTURBATIONS, Subject

with warnings.catch_warnings():
    # foolbox imports a module of SciPy by its old name.
    warnings.simplefilter("ignore", DeprecationWarning)
    foolbox: Any = importlib.import_module("foolbox")

pytestmark = pytest.mark.usefixtures("one_thread")

EPSILON = 0.03
GRADIENT = ("fgsm", "pgd-linf", "pgd-l2")


def gains(one: Subject, images: Sequence[torch.Tensor]) -> list[float]:
    """What the attack increases, of each image."""
    assert one.aim is not None
    with torch.inference_mode(False), torch.no_grad():
        options = PERTURBATIONS[one.recipe.perturbation].options.model_validate(dict(one.recipe.options or ()))
        found: list[float] = (
            Attacked(one, one.aim, options).gains(torch.stack([each.clone() for each in images])).tolist()
        )  # type: ignore[arg-type]
    return found


# -- against Foolbox ---------------------------------------------------------------------------------------------


def foolboxes(attack: Any, one: Subject, level: float, start: torch.Tensor | None = None) -> torch.Tensor:
    """Foolbox's x for the same image, model, start and steps."""
    if start is not None:
        attack.get_random_start = lambda x0, epsilon: type(x0)(start[None])
    assert one.aim is not None
    model = foolbox.PyTorchModel(one.aim.network, bounds=(0, 1), device="cpu")
    criterion = foolbox.criteria.Misclassification(torch.tensor([one.aim.label]))
    if (target := dict(one.recipe.options or ()).get("target", "none")) != "none":
        criterion = foolbox.criteria.TargetedMisclassification(torch.tensor([target]))
    found: torch.Tensor = attack.run(model, one.image[None], criterion, epsilon=level)[0]
    return found


def assert_equal(one: Subject, ours: torch.Tensor, theirs: torch.Tensor) -> None:
    assert (ours - theirs).abs().max() <= 1e-6
    assert one.aim is not None
    labels = one.aim.network(torch.stack([ours, theirs])).argmax(dim=1)
    assert labels[0] == labels[1]


@pytest.mark.parametrize("seed", range(4))
def test_fgsm_is_that_of_foolbox(seed: int) -> None:
    one = subject("fgsm", AS_IT_IS, side=16, label=seed, picture=seed)
    (ours,) = attacked(one, EPSILON)
    assert_equal(one, ours, foolboxes(foolbox.attacks.LinfFastGradientAttack(), one, EPSILON))


@pytest.mark.parametrize("target", ["none", "4"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "level", "theirs"), [("pgd-linf", EPSILON, "LinfPGD"), ("pgd-l2", 0.7, "L2PGD")])
def test_pgd_is_that_of_foolbox(name: str, level: float, theirs: str, seed: int, target: str) -> None:
    one = subject(name, AS_IT_IS, side=16, label=seed, picture=seed, target=target)
    (ours,) = attacked(one, level)
    ball = (balls.Linf if name == "pgd-linf" else balls.L2)(one.image, [level])
    start = ball.start(0, one.key.generator(f"{name}/0", level))
    attack = getattr(foolbox.attacks, theirs)(rel_stepsize=0.25, steps=10)
    assert_equal(one, ours, foolboxes(attack, one, level, start))


# -- in the ball, by property ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(
    name=st.sampled_from(GRADIENT), level=st.floats(1e-6, 1), seed=st.integers(0, 99),
    attacker=st.sampled_from(["model", "defence"]), target=st.sampled_from(["none", "random", "least-likely"]),
)  # fmt: skip
def test_x_is_an_image_no_further_than_epsilon(name: str, level: float, seed: int, attacker: str, target: str) -> None:
    told = {"steps": 3} if name != "fgsm" else {}
    one = subject(name, picture=seed, attacker=attacker, target=target, **told)
    clean, x = attacked(one, 0, level)
    assert torch.equal(clean, one.image)
    assert (x.shape, x.dtype) == (one.image.shape, torch.float32)
    assert 0 <= x.min() <= x.max() <= 1
    difference = x.double() - one.image.double()
    # Exactly: the float32 values themselves, compared in float64.
    assert (difference.norm() if name == "pgd-l2" else difference.abs().max()) <= level
    assert not torch.equal(x, one.image) or level < 1e-5


@settings(deadline=None, max_examples=25)
@given(level=st.floats(1e-7, 3), seed=st.integers(0, 99), far=st.floats(0, 4))
def test_a_projected_image_is_in_the_ball_wherever_it_was(level: float, seed: int, far: float) -> None:
    centre = image(picture=seed)
    elsewhere = centre + far * torch.randn(centre.shape, generator=torch.Generator().manual_seed(seed))
    for ball in (balls.Linf(centre, [level]), balls.L2(centre, [level])):
        inside = ball.inside(elsewhere[None])
        assert ball.distances(inside)[0] <= level
        assert 0 <= inside.min() <= inside.max() <= 1


def test_an_image_is_brought_into_the_smallest_ball_by_few_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ε is what the rounding of each value to float32 may add up to: such an image was moved 50,000 times."""
    centre = image()
    ball = balls.L2(centre, [1e-6])
    moves, where = 0, torch.where

    def move(*given: torch.Tensor) -> torch.Tensor:
        nonlocal moves
        moves += 1
        return where(*given)

    monkeypatch.setattr(torch, "where", move)
    for seed in range(5):
        noise = torch.randn(centre.shape, generator=torch.Generator().manual_seed(seed))
        assert ball.distances(ball.inside((centre + noise)[None]))[0] <= 1e-6
    assert 5 <= moves < 5 * 22


def test_a_start_is_spread_over_its_ball() -> None:
    grey = torch.full((3, 20, 20), 0.5)
    linf = balls.Linf(grey, [0.1]).start(0, torch.Generator().manual_seed(0)) - 0.5
    assert linf.abs().max() <= 0.1 + 1e-7
    assert abs(linf.std() - 0.1 / 3**0.5) < 0.003  # uniform
    # In 1200 dimensions nearly all of a ball is at its surface.
    assert 0.99 < (balls.L2(grey, [0.1]).start(0, torch.Generator().manual_seed(0)) - 0.5).norm() / 0.1 <= 1.000001


# -- on their own terms --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRADIENT)
def test_an_attack_raises_the_loss_and_more_so_at_a_higher_level(name: str) -> None:
    one = subject(name)
    clean, low, high = gains(one, attacked(one, 0, 0.01, 0.03))
    assert clean < low < high


def test_more_steps_and_the_best_of_restarts_are_stronger() -> None:
    found = [
        gains(one := subject("pgd-linf", steps=steps, restarts=restarts), attacked(one, 0.1))[0]
        for steps, restarts in ((1, 1), (10, 1), (10, 4))
    ]
    assert found[0] < found[1] <= found[2]


def test_a_step_is_as_long_as_it_is_told() -> None:
    one = subject("pgd-l2", steps=1, step_size="1/1000")
    (x,) = attacked(one, 0.5)
    start = balls.L2(one.image, [0.5]).start(0, one.key.generator("pgd-l2/0", 0.5))
    assert (x - start).norm() <= 0.001 + 1e-6


@pytest.mark.parametrize("name", GRADIENT)
def test_who_knows_the_defence_does_it_more_harm(name: str) -> None:
    knowing, unknowing = (subject(name, attacker=attacker) for attacker in ("defence", "model"))
    level = 0.5 if name == "pgd-l2" else 0.03
    against_all = [gains(knowing, attacked(one, level))[0] for one in (knowing, unknowing)]
    against_one = [gains(unknowing, attacked(one, level))[0] for one in (knowing, unknowing)]
    assert against_all[0] > against_all[1]
    assert against_one[0] < against_one[1]


@pytest.mark.parametrize("name", GRADIENT)
def test_a_targeted_attack_goes_towards_its_target(name: str) -> None:
    for target in range(CLASSES):
        one = subject(name, label=0, target=str(target))
        clean, x = attacked(one, 0, 0.05)
        assert one.aim is not None
        before, after = one.aim.network(torch.stack([clean, x])[:, :, 4:20, 4:20]).softmax(dim=1)[:, target]
        # An image that has the target's label already is left alone.
        assert torch.equal(clean, x) if target == 0 else after > before


def test_the_same_x_whatever_was_drawn_before_and_another_with_another_seed() -> None:
    (first,) = attacked(subject("pgd-linf"), 0.05)
    torch.rand(5)
    assert torch.equal(attacked(subject("pgd-linf"), 0.05)[0], first)
    assert not torch.equal(attacked(subject("pgd-linf", seed=1), 0.05)[0], first)


def test_without_the_model_an_attack_is_refused() -> None:
    with pytest.raises(Refusal, match="pgd-linf needs the model"):
        attacked(subject("pgd-linf")._replace(aim=None), 0.1)
