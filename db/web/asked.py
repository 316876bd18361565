"""What addresses may hold: checked before anything is looked up."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator

from db.errors import WrongUse
from db.runs import RunInfo
from db.web.record import Record


def _record(request: Request) -> Record:
    found: Record = request.app.state.record
    return found


def _given(value: Any) -> Any:
    return None if value == "" else value  # a form sends a field that was left empty as well


TheRecord = Annotated[Record, Depends(_record)]
#: An id, the beginning of one, a name, or `latest`.
RunName = Annotated[str, Path(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
#: The same, in a query.
Side = Annotated[str | None, BeforeValidator(_given), Query(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
ImageId = Annotated[int, Path(ge=0, lt=2**63)]
Level = Annotated[float | None, BeforeValidator(_given), Query()]
#: Indices of classes: the true one, and what the vote said.
Label = Annotated[int | None, BeforeValidator(_given), Query(alias="class", ge=0, lt=2**31)]
Voted = Annotated[int | None, BeforeValidator(_given), Query(ge=0, lt=2**31)]
Word = Annotated[str | None, BeforeValidator(_given), Query(pattern=r"^[a-z_]{1,40}$")]
PageNumber = Annotated[int, Query(alias="page", ge=1, lt=10**6)]
After = Annotated[int, Query(ge=0, lt=2**63)]


def level_of(run: RunInfo, level: float | None) -> float:
    """The level that was asked for; the lowest, if none was.

    Raises:
        WrongUse: if the run has no such level.
    """
    levels = run.recipe.levels
    if level is None:
        return levels[0]
    if level not in levels:
        raise WrongUse(f"run {run.id} has no level {level:g}; it has {', '.join(f'{one:g}' for one in levels)}")
    return level


def one_of(name: str, value: str | None, allowed: Any) -> None:
    """Holds a word to those that are known.

    Raises:
        WrongUse: naming them.
    """
    if value is not None and value not in allowed:
        raise WrongUse(f"{name} {value!r} is unknown: it is one of {', '.join(allowed)}")
