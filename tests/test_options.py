"""What a perturbation is told: its levels and its options, from flags to the recipe."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from unittest.mock import MagicMock

import pytest
from click.testing import CliRunner
from pydantic import Field

from cli.flags import OPTIONS, axis_of, job_size_of, recipe_from
from db.axis import NOISE, Axis
from db.errors import WRONG_USE, WrongUse
from db.recipe import Recipe
from smoothvote import front_door
from worker.perturbations import PERTURBATIONS, Options, Perturbation, Subject

if TYPE_CHECKING:
    import torch


def recipe(**given: Any) -> Recipe:
    return recipe_from(**{"preset": None, "classes": None} | given)


def refusal(**given: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        recipe(**given)
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Thickness(Options):
    """What fog is told beside its severity."""

    steps: Annotated[int, Field(ge=1)] = 10
    step_size: float | None = None
    colour: Literal["grey", "white"] = "grey"


class Fog(Perturbation):
    """A perturbation of whole severities."""

    name, axis, levels = "fog", Axis("severity", "severity"), (1.0, 3.0)
    options, job_size = Thickness, 8

    def check(self, levels: Sequence[float]) -> None:
        if not all(level in (1, 2, 3) for level in levels):
            raise WrongUse("--levels: fog has severities 1, 2 and 3")

    def perturb(self, subject: Subject, levels: Sequence[float]) -> Iterator["torch.Tensor"]:
        raise NotImplementedError


@pytest.fixture
def fog(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"fog": Fog(), "gaussian": PERTURBATIONS["gaussian"]}
    monkeypatch.setattr(PERTURBATIONS, "find", found.__getitem__)


def test_every_option_of_a_perturbation_has_a_flag() -> None:
    assert {name for one in PERTURBATIONS.values() for name in one.options.model_fields} == set(OPTIONS)


@pytest.mark.usefixtures("fog")
def test_levels_that_are_not_given_are_the_perturbations_own() -> None:
    assert recipe(perturbation="fog").levels == (1, 3)
    assert recipe(perturbation="fog", preset="article").levels == (1, 3)
    assert recipe(perturbation="fog", levels=(2.0,)).levels == (2,)
    assert recipe(perturbation="gaussian") == Recipe()


@pytest.mark.usefixtures("fog")
def test_the_perturbation_says_which_levels_are_allowed() -> None:
    assert refusal(perturbation="fog", levels=(2.0, 4.0)) == "--levels: fog has severities 1, 2 and 3"
    assert refusal(levels=(0.1, 10.5)) == "--levels: 10.5 is out of range; gaussian takes σ from 0 to 10"


@pytest.mark.usefixtures("fog")
def test_a_run_records_every_option_of_its_perturbation_that_has_a_value() -> None:
    assert recipe(perturbation="fog").content()["options"] == {"steps": 10, "colour": "grey"}
    told = recipe(perturbation="fog", steps="20", step_size="0.5", option=("colour=white",))
    assert told.content()["options"] == {"steps": 20, "step_size": 0.5, "colour": "white"}
    assert recipe(perturbation="fog", steps="10") == recipe(perturbation="fog")
    assert recipe(perturbation="gaussian").options is None


@pytest.mark.usefixtures("fog")
def test_an_option_that_the_perturbation_does_not_take_is_refused_in_one_line() -> None:
    assert refusal(steps="3") == "--steps: the perturbation gaussian takes no options; leave it out"
    assert refusal(perturbation="fog", attack_model="timm/a") == (
        "--attack-model: the perturbation fog takes steps, step_size, colour; leave it out"
    )
    assert refusal(option=("wind=3",)) == "--option wind=3: the perturbation gaussian takes no options; leave it out"
    assert refusal(option=("wind",)) == "--option wind: write NAME=VALUE, as steps=20"


@pytest.mark.usefixtures("fog")
def test_the_value_of_an_option_is_checked() -> None:
    assert refusal(perturbation="fog", steps="0") == ("--steps: input should be greater than or equal to 1 (given: 0)")
    assert refusal(perturbation="fog", option=("colour=red",)) == (
        "--colour: input should be 'grey' or 'white' (given: red)"
    )


@pytest.mark.usefixtures("fog")
def test_jobs_are_smaller_where_an_image_takes_long() -> None:
    assert job_size_of(recipe(perturbation="fog"), None) == (None, 8)
    assert job_size_of(recipe(perturbation="fog"), 20) == (20, 8)
    assert job_size_of(Recipe(), None) == (None, 64)


@pytest.mark.usefixtures("fog")
def test_a_run_is_given_the_perturbations_axis() -> None:
    assert axis_of(recipe(perturbation="fog")) == Axis("severity", "severity")
    assert axis_of(Recipe()) == NOISE


@pytest.mark.usefixtures("fog")
@pytest.mark.parametrize(
    ("words", "function"),
    [
        (["run"], "producer.run.run_here"),
        (["sweep"], "producer.sweep.sweep_here"),
        (["sweep", "--submit"], "producer.sweep.sweep_submit"),
        (["submit"], "producer.submit.submit"),
    ],
    ids=" ".join,
)
def test_every_command_that_submits_records_the_axis(
    words: list[str], function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    recorded = []

    def stop(*_: Any, axis: Axis, **__: Any) -> None:
        recorded.append(axis)
        raise WrongUse("recorded")

    monkeypatch.setattr(function, stop)
    monkeypatch.setattr("producer.broker.Broker", MagicMock())
    monkeypatch.setattr("db.session.connect", MagicMock())
    CliRunner().invoke(front_door, [*words, str(tmp_path), "--perturbation", "fog"])
    assert recorded == [Axis("severity", "severity")]


def test_a_target_is_a_class_of_the_model() -> None:
    assert refusal(perturbation="fgsm", target="1000") == "--target: the model has classes 0 to 999 (given: 1000)"
    assert recipe(perturbation="fgsm", target="999").content()["options"]["target"] == 999
    assert refusal(perturbation="fgsm", target="dog").startswith("--target: ")


def test_sizes_may_be_fractions() -> None:
    told = recipe(perturbation="pgd-linf", levels=(1 / 255,), step_size="1/510")
    assert told.content()["options"]["step_size"] == 1 / 510
    assert refusal(perturbation="pgd-linf", step_size="1/0").startswith("--step-size: input should be a valid number")
