"""The family of perturbations, and its first member: the article's Gaussian noise."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import nn

from db.axis import Axis
from db.errors import Refusal, WrongUse
from db.recipe import Preprocessing, Recipe, make_recipe
from worker.classifier import Classifier, Stage
from worker.engines import Eager, Normalised
from worker.images import Pixels
from worker.keys import Key
from worker.perturbations import PERTURBATIONS, Perturbation, Pointwise, Subject
from worker.pipeline import Case, predict
from worker.views import draw_views

DIGEST = hashlib.sha256(b"an image").digest()
GAUSSIAN = PERTURBATIONS.find("gaussian")
FIT = Preprocessing(8, 8, "bilinear", False, (0, 0, 0), (1, 1, 1))


# -- keys --------------------------------------------------------------------------------------------------------


def numbers(key: Key, purpose: str = "", level: float | None = None) -> list[float]:
    return torch.rand(3, generator=key.generator(purpose, level)).tolist()


def test_the_same_key_gives_the_same_numbers_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = numbers(Key(DIGEST, 0))
    assert torch.equal(torch.rand(3), expected)
    assert numbers(Key(DIGEST, 0)) == first


def test_image_seed_purpose_and_level_each_give_other_numbers() -> None:
    others = [
        numbers(Key(DIGEST, 0)),
        numbers(Key(hashlib.sha256(b"another").digest(), 0)),
        numbers(Key(DIGEST, 1)),
        numbers(Key(DIGEST, 0), "frost"),
        numbers(Key(DIGEST, 0), "fros"),
        numbers(Key(DIGEST, 0), "frost", 0),
        numbers(Key(DIGEST, 0), "frost", 1),
    ]
    assert len({tuple(drawn) for drawn in others}) == len(others)


def test_a_generators_seed_is_that_of_every_run_so_far() -> None:
    # Written out: another seed would change the noise of every recorded run.
    key = hashlib.sha256(DIGEST + (7).to_bytes(8, "big")).digest()
    assert Key(DIGEST, 7).generator().initial_seed() == int.from_bytes(key[:4], "big")


# -- every member ------------------------------------------------------------------------------------------------


def subject(image: torch.Tensor, perturbation: Perturbation) -> Subject:
    key = Key(DIGEST, 0)
    return Subject(image, perturbation.draw(key, *image.shape[1:]), key, Recipe(), FIT)


@pytest.fixture(params=[name for name in PERTURBATIONS if not PERTURBATIONS[name].needs_model])
def member(request: pytest.FixtureRequest) -> Perturbation:
    return PERTURBATIONS[request.param]


def test_a_member_allows_its_own_levels_and_limits(member: Perturbation) -> None:
    member.check(member.levels)
    member.check(member.limits)
    assert list(member.levels) == sorted(set(member.levels))


def test_a_member_refuses_levels_outside_of_its_limits_in_one_line(member: Perturbation) -> None:
    low, high = member.limits
    for level in (low - 1, high + 1):
        with pytest.raises(WrongUse, match=rf"--levels: {level:g} is out of range; {member.name} takes ") as refused:
            member.check((low, level))
        assert "\n" not in str(refused.value)


def test_x_is_an_image_of_the_same_size_in_the_unit_range(member: Perturbation) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 9, 14)
    kept = image.clone()
    for x in member.perturb(subject(image, member), member.levels):
        assert (x.shape, x.dtype) == (image.shape, torch.float32)
        assert 0 <= x.min() <= x.max() <= 1
    assert torch.equal(image, kept)


def test_x_at_a_level_does_not_depend_on_the_other_levels_or_on_when_it_is_made(member: Perturbation) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 9, 14)
    together = list(member.perturb(subject(image, member), member.levels))
    torch.rand(17)
    (alone,) = member.perturb(subject(image, member), member.levels[-1:])
    assert torch.equal(alone, together[-1])


@pytest.mark.parametrize("member", [one for one in PERTURBATIONS.values() if isinstance(one, Pointwise)])
def test_a_pointwise_member_makes_of_a_part_what_it_makes_of_the_whole(member: Pointwise) -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 9, 14)
    field = member.draw(Key(DIGEST, 0), 9, 14).expand(3, -1, -1)
    for level in member.levels:
        whole = member.at(image, field, level)
        assert torch.equal(member.at(image[1, 2:7, 3:9], field[1, 2:7, 3:9], level), whole[1, 2:7, 3:9])


def test_names_axes_and_levels_are_read_without_torch() -> None:
    code = """
import sys
from worker.perturbations import PERTURBATIONS
from worker.smoothers import SMOOTHERS
for one in PERTURBATIONS.values():
    one.check(one.levels), one.axis.label, one.needs_model
for one in SMOOTHERS.values():
    one.uses
print(sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "torchvision", "kornia", "PIL", "numpy"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- Gaussian noise ----------------------------------------------------------------------------------------------


def test_noise_is_scaled_by_sigma_and_clamped() -> None:
    assert isinstance(GAUSSIAN, Pointwise)
    image = torch.full((3, 1, 2), 0.5)
    field = torch.tensor([1.0, -3.0]).expand(3, 1, 2)
    assert torch.equal(GAUSSIAN.at(image, field, 0.25), torch.tensor([0.75, 0.0]).expand(3, 1, 2))


def test_sigma_zero_leaves_the_image_as_it_is() -> None:
    assert isinstance(GAUSSIAN, Pointwise)
    image = torch.rand(3, 5, 5)
    assert GAUSSIAN.at(image, torch.randn(3, 5, 5), 0.0) is image


def test_noise_is_standard_normal() -> None:
    drawn = GAUSSIAN.draw(Key(DIGEST, 0), 500, 500)  # 750,000 values: mean and deviation are known to about .001
    assert drawn.shape == (3, 500, 500)
    assert abs(drawn.mean().item()) < 0.006
    assert abs(drawn.std().item() - 1) < 0.005


def test_noise_is_the_same_with_any_number_of_threads() -> None:
    threads = torch.get_num_threads()
    drawn = []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            drawn.append(GAUSSIAN.draw(Key(DIGEST, 0), 200, 300))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


# -- one that needs the model ------------------------------------------------------------------------------------


class SignOfGradient(Perturbation):
    """One step of the fast gradient sign method against label 0, as an attack of this family would take it."""

    name = "sign"
    axis = Axis("ε", "attack strength")
    levels = (0.0, 0.1)
    limits = (0, 1)
    needs_model = True

    def perturb(self, subject: Subject, levels: Sequence[float]) -> Iterator[torch.Tensor]:
        assert subject.aim is not None
        assert subject.aim.label == 2
        with torch.inference_mode(False), torch.enable_grad():
            image = subject.image.clone().requires_grad_()
            subject.aim.network(image[None])[0, 0].backward()
            assert image.grad is not None
            for level in levels:
                yield (image - level * image.grad.sign()).clamp(0, 1).detach()


class Means(nn.Module):
    """Logits that can be worked out by hand: the means of the three channels."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.mean(dim=(2, 3))


def test_an_attack_gets_the_model_and_takes_its_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.views.PERTURBATIONS.find", lambda _: SignOfGradient())
    cpu = torch.device("cpu")
    eager = Eager(Normalised(Means(), FIT), cpu)
    classifier = Classifier(FIT, "0" * 64, [Stage(eager, 0)], eager, device=cpu, batch_size=6)
    recipe = make_recipe(perturbation="sign", levels=(0, 0.1))
    # Red leads by .05 until the attack takes .1 from it; the gradient of green and blue is 0.
    pixels = Pixels(torch.tensor([0.5, 0.45, 0.1]).expand(8, 8, 3), DIGEST)
    (found,) = predict([Case(0, lambda: pixels, label=2)], recipe, classifier)
    assert [(row.level, row.label_ns, row.label_maj) for row in found.predicted] == [(0, 0, 0), (0.1, 1, 1)]
    with pytest.raises(Refusal, match="needs the model"):
        draw_views(pixels, torch.empty(0), recipe, FIT, cpu)
