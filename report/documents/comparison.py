"""Two runs compared, as a document: the verdict, the vote level by level, and every view in detail."""

from collections.abc import Iterator
from typing import Any

from db.recipe import Recipe
from db.runs import RunInfo
from report.certified_comparison import CertifiedComparison
from report.comparison import Compared, Comparison, Difference, LevelComparison
from report.comparison_verdict import verdict
from report.data import rate_json, tested_json
from report.document import Cell, Document, PValue, Step, Table, Written
from report.names import INTERVAL_NAMES, method
from report.stats import CONFIDENCE

NAMES = {"ns": "NS", "ss": "SS", "ds": "DS", "maj": "vote", "reject": "rejects"}

IMAGES_LEGEND = (
    "Images predicted by both runs are compared; accuracies are of the labelled ones. Same vote: of the images that both "
    "votes accept, the share that gets the same label."
)


def document(comparison: Comparison) -> Document:
    """A comparison, as it is printed."""
    first, second = comparison.first.id, comparison.second.id
    return Document(
        headline=headlines(comparison),
        verdict=verdict(comparison),
        summary=_summary(comparison),
        details=[_pairs(comparison), _images(comparison)],
        steps=[
            Step("every view, every test", f"smoothvote compare {first} {second} --detail"),
            Step("a plot", f"smoothvote compare {first} {second} --plot differences.png"),
            Step("accuracy of both", f"smoothvote compare {first} {second} --robustness robustness.png"),
            Step("one of them alone", f"smoothvote report {second}"),
        ],
        data=to_json(comparison),
        records=[_record(comparison, *line) for line in _lines(comparison)],
    )


def headlines(comparison: Comparison | CertifiedComparison) -> list[str]:
    """The two runs, how their recipes differ, and whether both are complete: a line each."""
    first, second = comparison.first, comparison.second
    state = "complete" if comparison.complete else "INCOMPLETE: compared over the images that both runs have"
    lines = [
        f"first: {_run(first)}",
        f"second: {_run(second)}",
        f"on {first.dataset} ({first.expected} images): {state}",
        f"differences: {'; '.join(map(_difference, comparison.differences)) or 'none is recorded yet'}",
    ]
    if not comparison.same_noise:
        lines.append(
            "the seeds differ: the noise on an image is not the same in both runs, which adds to every difference"
        )
    return lines


def _run(run: RunInfo) -> str:
    return f"{run.name} ({run.id}): {method(run.recipe)}"


def _difference(difference: Difference) -> str:
    return f"{difference.field} {_value(difference.first)} → {_value(difference.second)}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_value(part) for part in value)
    if isinstance(value, str) and len(value) == 64:  # a sha256: its beginning tells it apart
        return f"{value[:12]}…"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# -- tables ------------------------------------------------------------------------------------------------------


def _summary(comparison: Comparison) -> Table:
    """A row a level: the vote of both runs, and what each rejects."""
    labelled = any(level.labelled for level in comparison.levels)
    head = [comparison.first.axis.symbol]
    if labelled:
        head += ["vote right, first", "vote right, second", "second − first", "p"]
    head += ["rejects, first", "rejects, second", *([] if labelled else ["second − first", "p"]), "same vote"]
    rows: list[list[Cell]] = []
    for level in comparison.levels:
        vote, reject = compared_cells(level.views["maj"]), compared_cells(level.reject)
        number = Written(comparison.first.axis.number(level.value))
        rows.append([number, *(vote if labelled else []), *(reject[:2] if labelled else reject), level.same_vote])
    return Table(head=head, rows=rows, legend=_legend(comparison))


def _legend(comparison: Comparison) -> str:
    return (
        f"Vote right: a reject is wrong. Rates have {CONFIDENCE:.0%} {INTERVAL_NAMES[comparison.interval]} intervals, "
        "differences Newcombe's for paired proportions. p: McNemar's exact test, adjusted for the levels (Holm). Same vote: of "
        "the images that both votes accept."
    )


def compared_cells(found: Compared | None) -> list[Cell]:
    """Both shares, their difference, and its adjusted p."""
    if found is None:
        return [None] * 4
    return [found.first, found.second, found.tested.pair, PValue(found.tested.p_holm)]


def _lines(comparison: Comparison) -> Iterator[tuple[LevelComparison, str, Compared | None]]:
    """What has a line in detail: each view of each level, then the rejects."""
    labelled = any(level.labelled for level in comparison.levels)
    for level in comparison.levels:
        if labelled:
            yield from ((level, view, found) for view, found in level.views.items())
        yield level, "reject", level.reject


def _pairs(comparison: Comparison) -> Table:
    rows: list[list[Cell]] = []
    for level, name, found in _lines(comparison):
        first, second, difference, p = compared_cells(found)
        pair = found and found.tested.pair
        counts: list[Cell] = [pair.of, pair.only_first, pair.only_second] if pair else [0, None, None]
        rows.append(
            [
                Written(comparison.first.axis.number(level.value)),
                NAMES[name],
                counts[0],
                first,
                second,
                difference,
                *counts[1:],
                p,
            ]
        )
    together = len(rows) // len(comparison.levels)
    return Table(
        title="Every view, and the rejects",
        head=[comparison.first.axis.symbol, "share", "of", "first", "second", "second − first", "only first", "only second", "p"],
        rows=rows,
        legend=(
            "NS, SS, DS: right unsmoothed, smoothed once, smoothed twice; vote: right, a reject is wrong; rejects: no two "
            "views agree. Only first, only second: images where that is true in one run only."
        ),
        keys=2,
        together=together if together > 1 else 0,
    )  # fmt: skip


def _images(comparison: Comparison) -> Table:
    axis = comparison.first.axis
    return Table(
        title="Images",
        head=[axis.symbol, "both predicted", "only first", "only second", "labelled", "same vote"],
        rows=[
            [
                Written(axis.number(level.value)),
                level.both,
                level.only_first,
                level.only_second,
                level.labelled,
                level.same_vote,
            ]
            for level in comparison.levels
        ],
        legend=IMAGES_LEGEND,
    )


# -- plain data --------------------------------------------------------------------------------------------------


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain data: ``{"first": …, "second": …, "complete": …, "differences": […], "levels": […]}``."""
    return runs_json(comparison) | {
        "verdict": verdict(comparison),
        "levels": [_level_json(level, comparison.first.recipe) for level in comparison.levels],
    }


def run_json(run: RunInfo) -> dict[str, Any]:
    """What names a run, as plain data."""
    return {"id": run.id, "name": run.name, "model": run.recipe.model, "weights_sha256": run.weights_sha256}


def runs_json(comparison: Comparison | CertifiedComparison) -> dict[str, Any]:
    """What a comparison of votes and one of certificates have alike: which runs, over what, and how they differ."""
    first = comparison.first
    return {
        "first": run_json(first),
        "second": run_json(comparison.second),
        "dataset": {"name": first.dataset, "images": first.expected},
        "axis": first.axis._asdict(),
        "complete": comparison.complete,
        "interval": comparison.interval,
        "same_noise": comparison.same_noise,
        "differences": [difference._asdict() for difference in comparison.differences],
    }


def _level_json(level: LevelComparison, recipe: Recipe) -> dict[str, Any]:
    counts = {name: getattr(level, name) for name in ("both", "only_first", "only_second", "labelled")}
    views = {
        view: found and compared_json(found) | {"verdict": found.tested.verdict} for view, found in level.views.items()
    }
    reject = level.reject and compared_json(level.reject)
    found = {"views": views, "reject": reject} | rate_json("same_vote", level.same_vote)
    return recipe.level_fields(level.value) | counts | found


def compared_json(found: Compared) -> dict[str, Any]:
    """Two shares and the test of their difference, as plain data."""
    return rate_json("first", found.first) | rate_json("second", found.second) | tested_json(found.tested)


def _record(comparison: Comparison, level: LevelComparison, name: str, found: Compared | None) -> dict[str, Any]:
    row: dict[str, Any] = comparison.first.recipe.level_fields(level.value) | {"of": name, "both": level.both}
    row |= {"first_missing": level.only_second, "second_missing": level.only_first, "images": found and found.first.of}
    for run, rate in (("first", found and found.first), ("second", found and found.second)):
        row |= {run: rate and rate.value, f"{run}_low": rate and rate.low, f"{run}_high": rate and rate.high}
    pair = found and found.tested.pair
    row |= {
        "difference": pair and pair.difference,
        "difference_low": pair and pair.low,
        "difference_high": pair and pair.high,
        "only_first": pair and pair.only_first,
        "only_second": pair and pair.only_second,
        "p": pair and pair.p,
        "p_holm": found and found.tested.p_holm,
    }
    return row | {"same_vote": level.same_vote and level.same_vote.value}
