"""Parameters of addresses: their types, and the checks that need no database."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator, Field

from db.errors import WrongUse
from db.recipe import Recipe
from db.runs import RunInfo
from report import rows
from report.images import class_index
from web.record import Record


def _record(request: Request) -> Record:
    found: Record = request.app.state.record
    return found


def _given(value: Any) -> Any:
    return None if value == "" else value  # a form sends an empty field as well


TheRecord = Annotated[Record, Depends(_record)]
Given = BeforeValidator(_given)
Name = Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")

#: A run: an id, the beginning of one, a name, or `latest`.
RunName = Annotated[str, Name, Path()]
#: The same in a form, where it may be left out.
RunChoice = Annotated[Annotated[str, Name] | None, Given, Query()]
ImageId = Annotated[int, Field(ge=0, lt=2**63), Path()]
Level = Annotated[float | None, Given, Query()]
#: The true class, by name or index.
ClassName = Annotated[Annotated[str, Name] | None, Given, Query(alias="class")]
#: The class that the vote gave, by index.
Voted = Annotated[Annotated[int, Field(ge=0, lt=2**31)] | None, Given, Query()]
Word = Annotated[Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")] | None, Given, Query()]
PageNumber = Annotated[int, Field(ge=1, lt=10**6), Query(alias="page")]
After = Annotated[int, Field(ge=0, lt=2**63), Query()]


@dataclass(frozen=True, kw_only=True)
class GalleryAsked:
    """The query of a page of images, as a person typed or followed it."""

    level: Level = None
    outcome: Word = None
    called: ClassName = None
    voted: Voted = None
    #: The code of a failure.
    code: Word = None
    #: Show the images that follow this one.
    after: After = 0


def level_of(run: RunInfo, level: float | None) -> float:
    """The level that was asked for, or else the run's lowest.

    Raises:
        WrongUse: if the run has no such level.
    """
    return run.recipe.levels[0] if level is None else rows.level_of(run, level)


def class_asked(recipe: Recipe, name: str) -> int:
    """Index of the class that was asked for.

    Raises:
        WrongUse: if no class, or more than one, has this name.
    """
    try:
        return class_index(recipe, name)
    except WrongUse as error:
        raise WrongUse(str(error).removeprefix("--")) from None  # the message was written for a flag


def one_of(name: str, value: str | None, allowed: Any) -> None:
    """Checks that a parameter is one of the known words.

    Raises:
        WrongUse: naming the words.
    """
    if value is not None and value not in allowed:
        raise WrongUse(f"{name} {value!r} is unknown: it is one of {', '.join(allowed)}")
