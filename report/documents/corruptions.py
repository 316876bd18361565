"""Corruption errors as a table, in words and as plain data: what a sweep over ImageNet-C ends with."""

from typing import Any

from report.corruptions import ALEXNET, CorruptionErrors
from report.document import Cell, Number, Table
from report.names import called
from report.sweep import Corrupted

#: How to read a mean corruption error.
MEANING = (
    "100 % is AlexNet's loss on ImageNet-C's own images, so on other images compare these numbers with each other, and not "
    "with published ones."
)
LEGEND = (
    "Error: top-1, mean over the severities 1 to 5; in the vote a reject is an error. CE: error in % of AlexNet's; relative: "
    "what corruption adds to the clean error, in % of what it adds to AlexNet's (Hendrycks & Dietterich, 2019)."
)


def mean_errors(found: Corrupted) -> str:
    """mCE and relative mCE of the vote and without smoothing; "" while one of the 15 corruptions is missing."""
    if found.ns.mce is None or found.vote.mce is None:
        return ""
    said = f"mCE of {called(found.recipe)}: {found.vote.mce:.1%} for the vote, {found.ns.mce:.1%} without smoothing"
    if found.ns.relative_mce is not None and found.vote.relative_mce is not None:
        said += f"; relative mCE: {found.vote.relative_mce:.1%} and {found.ns.relative_mce:.1%}"
    return f"{said}. {_change(found.ns.mce, found.vote.mce)}{_clean(found)}."


def _change(before: float, after: float) -> str:
    return f"Smoothing {'lowers' if after < before else 'raises' if after > before else 'does not change'} mCE"


def _clean(found: Corrupted) -> str:
    """The errors on clean images, which relative mCE leaves out; "" where they are not known."""
    if found.ns.clean is None or found.vote.clean is None:
        return ""
    return f"; on clean images the vote has {found.vote.clean:.1%} errors, no smoothing {found.ns.clean:.1%}"


def errors_table(found: Corrupted) -> Table:
    """A row a corruption, and the means of all 15."""
    rows: list[list[Cell]] = [
        [name, *_cells(found.ns, name), *_cells(found.vote, name)] for name in found.ns.corruptions
    ]
    means = [_percent(value) for one in (found.ns, found.vote) for value in (None, one.mce, one.relative_mce)]
    count = len(found.ns.corruptions)
    missing = (
        "" if count == len(ALEXNET) else f" mCE is missing: it takes {len(ALEXNET)} corruptions, and {count} are done."
    )
    return Table(
        title=f"Corruption errors of {called(found.recipe)}, in %",
        head=["corruption", "error NS", "CE NS", "relative CE NS", "error vote", "CE vote", "relative CE vote"],
        rows=[*rows, ["mean (mCE)", *means]],
        legend=LEGEND + missing,
    )


def _cells(found: CorruptionErrors, name: str) -> list[Cell]:
    return [_percent(value) for value in found.corruptions[name]] if name in found.corruptions else [None] * 3


def _percent(value: float | None) -> Cell:
    return None if value is None else Number(100 * value, ".1f")


def errors_json(found: Corrupted) -> dict[str, Any]:
    """Corruption errors of one recipe as plain data; 1 is AlexNet's."""
    recipe = found.recipe
    return {
        "model": recipe.model,
        "smoother": recipe.smoother,
        "kernel_size": recipe.kernel_size,
        "kernel_sigma": recipe.kernel_sigma,
        "ns": _errors_json(found.ns),
        "vote": _errors_json(found.vote),
    }


def _errors_json(errors: CorruptionErrors) -> dict[str, Any]:
    return {
        "mce": errors.mce,
        "relative_mce": errors.relative_mce,
        "clean_error": errors.clean,
        "corruptions": {name: found._asdict() for name, found in errors.corruptions.items()},
    }
