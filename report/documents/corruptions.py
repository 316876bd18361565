"""Corruption errors as a table and as plain data: what a sweep over ImageNet-C ends with."""

from typing import Any

from report.corrupted import Corrupted
from report.corruptions import ALEXNET, CorruptionErrors
from report.document import Cell, Number, Table
from report.stats import Mean

LEGEND = (
    "Error: top-1, mean over the severities 1 to 5; in the vote a reject is an error. CE: error in % of AlexNet's; relative: "
    "what corruption adds to the clean error, in % of what it adds to AlexNet's (Hendrycks & Dietterich, 2019)."
)


def errors_table(found: Corrupted, name: str) -> Table:
    """A row a corruption, and the means of all 15; ``name`` is what the recipe is called."""
    rows: list[list[Cell]] = [
        [name, *_cells(found.ns, name), *_cells(found.vote, name)] for name in found.ns.corruptions
    ]
    means = [_percent(value) for one in (found.ns, found.vote) for value in (None, one.mce, one.relative_mce)]
    count = len(found.ns.corruptions)
    missing = (
        "" if count == len(ALEXNET) else f" mCE is missing: it takes {len(ALEXNET)} corruptions, and {count} are done."
    )
    return Table(
        title=f"Corruption errors of {name}, in %",
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
    recipe, means = found.recipe, found.means
    return {
        "model": recipe.model,
        "smoother": recipe.smoother,
        "kernel_size": recipe.kernel_size,
        "kernel_sigma": recipe.kernel_sigma,
        "images": means and means.ns.of,
        "ns": _errors_json(found.ns, means and means.ns, means and means.relative_ns),
        "vote": _errors_json(found.vote, means and means.vote, means and means.relative_vote),
        "mce_change": means and means.change.value,
        "mce_change_ci": _ends(means and means.change),
    }


def _errors_json(errors: CorruptionErrors, mean: Mean | None, relative: Mean | None) -> dict[str, Any]:
    return {
        "mce": errors.mce,
        "mce_ci": _ends(mean),
        "relative_mce": errors.relative_mce,
        "relative_mce_ci": _ends(relative),
        "clean_error": errors.clean,
        "corruptions": {name: found._asdict() for name, found in errors.corruptions.items()},
    }


def _ends(mean: Mean | None) -> list[float] | None:
    return [mean.low, mean.high] if mean else None
