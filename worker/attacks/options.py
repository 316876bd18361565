"""What attacks can be told. The description of an option is what `smoothvote list` says of it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from db.models import check_name
from db.numbers import number
from db.recipe import Recipe
from worker.perturbations import Options


def _number(value: Any) -> Any:
    """A fraction such as 1/255 as a number; anything else is left to pydantic."""
    try:
        return number(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _class(value: Any) -> Any:
    """A class index as a number, whether it comes from a flag or from a record."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _is_named(model: str) -> str:
    """Refuses what is no model's name. A file would need its hash in the recipe: another file could take its place."""
    if Recipe.is_checkpoint(model):
        raise ValueError("name a model, not a file: a transfer attack is made on a model with weights of its own")
    check_name(model)
    return model


Size = Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(_number)]
Target = Annotated[Literal["none", "random", "least-likely"] | Annotated[int, Field(ge=0)], BeforeValidator(_class)]
Budget = Annotated[int, Field(ge=1, le=1_000_000, description="the most images that the attacker may ask about")]


class Aimed(Options):
    """What every attack can be told."""

    attacker: Annotated[
        Literal["model", "defence"],
        Field(description="what the attacker knows: the model, or also the smoother and the vote"),
    ] = "model"
    attack_model: Annotated[
        Annotated[str, AfterValidator(_is_named)] | None,
        Field(description="make the attack on this model, and let the run's model answer it (a transfer attack)"),
    ] = None


class Targeted(Aimed):
    """What an attack can be told that can aim at a class."""

    target: Annotated[
        Target,
        Field(description="the label to reach: none (any wrong one), random, least-likely, or a class index"),
    ] = "none"


class Stepwise(Targeted):
    """What an attack can be told that takes steps along the gradient."""

    steps: Annotated[int, Field(ge=1, le=10_000, description="steps along the gradient")] = 10
    restarts: Annotated[int, Field(ge=1, le=1_000, description="random starts, of which the best counts")] = 1
    step_size: Annotated[
        Size | None, Field(description="how far a step goes, in the levels' unit; 2.5·ε/steps if not given")
    ] = None


class Queried(Aimed):
    """What an attack can be told that sees answers alone."""

    budget: Budget = 1000


class QueriedTargeted(Targeted):
    """The same, for one that can aim at a class."""

    budget: Budget = 1000
