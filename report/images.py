"""The images behind a rate: what was found for each, at each level, and what the vote made of it."""

import difflib
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from db.classes import class_names
from db.errors import WrongUse, plain
from db.found import WITHOUT_PREDICTION
from db.recipe import Recipe
from db.runs import RunInfo
from report.exports import Page
from report.rows import level_of, pages

#: The columns of a list of images.
LISTED = (
    "path", "level", "outcome", "label", "label_maj", "label_ns", "confidence_ns", "label_ss", "confidence_ss",
    "label_ds", "confidence_ds", "code", "message",
)  # fmt: skip


def image_pages(
    session: Session,
    run: RunInfo,
    *,
    level: float | None = None,
    outcome: str | None = None,
    label: int | None = None,
    limit: int | None = None,
) -> Iterator[Page]:
    """The images behind a rate: level by level, in the dataset's order; those without prediction come last, once.

    Args:
        session: a reading one, open until the last page is taken.
        run: the run.
        level: predictions of this level only.
        outcome: images of this outcome only, one of OUTCOMES, or saved or lost.
        label: images of this true class only, by its index.
        limit: so many at most.

    Raises:
        WrongUse: if the run has no such level.
    """
    if level is not None:
        level = level_of(run, level)
    left = limit
    for asked in _parts(run, level, outcome):
        for page in pages(session, run, label=label, columns=LISTED, **asked):
            count = len(page["path"])
            if left is not None:
                page = {name: column[:left] for name, column in page.items()}
                left = max(0, left - count)
            yield page
            if left == 0:
                return


def _parts(run: RunInfo, level: float | None, outcome: str | None) -> Iterator[dict[str, Any]]:
    """What is asked of the rows, one after another: each level, then the images without prediction."""
    if outcome not in WITHOUT_PREDICTION:
        for each in run.recipe.levels if level is None else (level,):
            yield {"level": each, "outcome": outcome}
    if outcome is None or outcome in WITHOUT_PREDICTION:
        yield {"predicted": False, "outcome": outcome}


def class_index(recipe: Recipe, name: str) -> int:
    """The class that a person means, by its name, in any case, or its index.

    Raises:
        WrongUse: if there is none, or several have that name.
    """
    names = class_names(recipe)
    called = [index for index, one in names.items() if one.casefold() == name.strip().casefold()]
    if len(called) > 1:
        raise WrongUse(
            f"--class {name}: {len(called)} classes have this name; give an index: {', '.join(map(str, called))}"
        )
    if called:
        return called[0]
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) in names:
        return int(name)
    within = [one for one in names.values() if name.strip() and name.strip().casefold() in one.casefold()]
    near = within[:3] or difflib.get_close_matches(name, names.values(), n=3)
    hint = f"near it: {plain(', '.join(near))}" if near else f"give a name, or an index from 0 to {len(names) - 1}"
    raise WrongUse(f"--class {name}: no class of the model; {hint}")
