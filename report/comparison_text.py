"""A comparison of two runs as text: in words, and as table, csv, json, markdown, latex."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from db.errors import plain
from db.runs import RunInfo
from report.comparison import Compared, Comparison, Difference, LevelComparison, to_json
from report.names import INTERVAL_NAMES
from report.report import Verdict
from report.stats import CONFIDENCE
from report.text import latex, markdown, markdown_text, pair_cells, render, to_csv, with_interval

NAMES = {"ns": "NS", "ss": "SS", "ds": "DS", "maj": "vote", "reject": "rejects"}
#: As the last line speaks of them, the vote first: it is what is deployed.
SPOKEN = {"maj": "Vote", "ns": "NS", "ss": "SS", "ds": "DS"}

PAIRS_HEAD = ("σ", "of", "images", "first", "second", "second − first", "only first", "only second", "p")
IMAGES_HEAD = ("σ", "both predicted", "only first", "only second", "labelled", "same vote")
IMAGES_LEGEND = (
    "Images that both runs predicted are compared, those that only one did are not; accuracies are of the labelled. "
    "Same vote: of the images that both votes accept."
)


def format_comparison_of_runs(comparison: Comparison, form: str) -> str:
    """A comparison as table, csv, json, markdown or latex, without a newline at the end."""
    return {
        "table": _table,
        "csv": _csv,
        "json": lambda comparison: json.dumps(to_json(comparison), indent=2),
        "markdown": _markdown,
        "latex": _latex,
    }[form](comparison)


# -- in words ----------------------------------------------------------------------------------------------------


def words(comparison: Comparison) -> str:
    """At which levels which run is right more often, and where nothing is shown."""
    levels = [level for level in comparison.levels if level.both]
    if not levels:
        return "No image is predicted by both runs yet."
    text = _of_labelled(levels) if any(level.labelled for level in levels) else _of_unlabelled(levels)
    return text if comparison.complete else f"So far, with images still pending: {text}"


def _of_labelled(levels: list[LevelComparison]) -> str:
    said = [f"{name}: {_sides(levels, view)}" for view, name in SPOKEN.items()]
    return f"Which run is right more often (first against second), after Holm's adjustment for the levels. {'. '.join(said)}."


def _sides(levels: list[LevelComparison], view: str) -> str:
    """Where the second run is right more often, where the first, and where nothing is shown."""
    sides: dict[Verdict, list[str]] = {"better": [], "worse": [], "undecided": []}
    compared = [(level.value, found) for level in levels if (found := level.views[view])]
    for value, found in compared:
        decided = found.tested.verdict != "undecided"
        shares = f" ({found.first.value:.3f} against {found.second.value:.3f})" if decided else ""
        sides[found.tested.verdict].append(f"σ = {value:g}{shares}")
    if not any(found.tested.pair.only_first or found.tested.pair.only_second for _, found in compared):
        return "both are right on the same images at every level"
    if len(sides["undecided"]) == len(compared):
        return "nothing is shown at any level"
    names = {"better": "the second at", "worse": "the first at", "undecided": "nothing is shown at"}
    return "; ".join(f"{names[side]} {', '.join(where)}" for side, where in sides.items() if where)


def _of_unlabelled(levels: list[LevelComparison]) -> str:
    said = []
    for level in levels:
        rejected = [level.reject and level.reject.first, level.reject and level.reject.second]
        same, first, second = (f"{rate.value:.3f}" if rate else "–" for rate in (level.same_vote, *rejected))
        said.append(f"σ = {level.value:g} ({same}; {first}, {second})")
    return (
        "No image has a label, so what is right cannot be said. Share of the images that both votes accept on which "
        f"they say the same; share rejected by the first and the second: at {', '.join(said)}."
    )


def headlines(comparison: Comparison) -> list[str]:
    """The two runs, what tells them apart, and whether all is there: a line each."""
    first, second = comparison.first, comparison.second
    pending = "complete" if comparison.complete else "INCOMPLETE: compared over what both runs have"
    lines = [
        f"first: {_run(first)}",
        f"second: {_run(second)}",
        f"on {first.dataset} ({first.expected} images): {pending}",
        f"differences: {'; '.join(map(_difference, comparison.differences)) or 'none that is recorded yet'}",
    ]
    if not comparison.same_noise:
        lines.append("the seeds differ: the images are the same, their noise is not, and adds to every difference")
    return [plain(" ".join(line.split())) for line in lines]  # a name may hold a newline, and each is one line


def _run(run: RunInfo) -> str:
    return f"{run.name} ({run.id}): {run.recipe.model}"


def _difference(difference: Difference) -> str:
    return f"{difference.field} {_value(difference.first)} → {_value(difference.second)}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_value(part) for part in value)
    if isinstance(value, str) and len(value) == 64:  # a sha256: its beginning tells it apart
        return f"{value[:12]}…"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# -- as tables ---------------------------------------------------------------------------------------------------


def _lines(comparison: Comparison) -> Iterator[tuple[LevelComparison, str, Compared | None]]:
    """What has a line in a table: each view of each level, then what is rejected."""
    labelled = any(level.labelled for level in comparison.levels)
    for level in comparison.levels:
        if labelled:
            yield from ((level, view, found) for view, found in level.views.items())
        yield level, "reject", level.reject


def _cells(level: LevelComparison, name: str, found: Compared | None) -> list[str]:
    cells = [f"{level.value:g}", NAMES[name]]
    if found is None:
        return [*cells, "0", *["–"] * 6]
    pair = found.tested.pair
    shares = (with_interval(found.first), with_interval(found.second))
    difference, p = pair_cells(found.tested)
    return [*cells, str(pair.of), *shares, difference, str(pair.only_first), str(pair.only_second), p]


def _image_cells(level: LevelComparison) -> list[str]:
    counts = (level.both, level.only_first, level.only_second, level.labelled)
    return [f"{level.value:g}", *map(str, counts), with_interval(level.same_vote)]


def _legend(comparison: Comparison) -> str:
    return (
        "NS, SS, DS: right unsmoothed, smoothed once, twice; vote: a reject counting as wrong; rejects: no two views agree. "
        f"Rates with {CONFIDENCE:.0%} {INTERVAL_NAMES[comparison.interval]} intervals, differences with Newcombe's of pairs. "
        "Only first, only second: images of which that is true in one run only. "
        "p: McNemar's exact test, adjusted for the levels (Holm)."
    )


def _table(comparison: Comparison) -> str:
    pairs, images = Table(), Table()
    for title in PAIRS_HEAD:
        pairs.add_column(title, justify="left" if title == "of" else "right")
    for level, name, found in _lines(comparison):
        pairs.add_row(*_cells(level, name, found), end_section=name == "reject")
    for title in IMAGES_HEAD:
        images.add_column(title, justify="right")
    for level in comparison.levels:
        images.add_row(*_image_cells(level))
    return "\n".join(
        [
            *headlines(comparison),
            render(pairs, below=_legend(comparison)),
            "",
            render(images, below=IMAGES_LEGEND),
            "",
            *textwrap.wrap(words(comparison), 120),
        ]
    )


def _markdown(comparison: Comparison) -> str:
    return "\n".join(
        [
            *(f"- {markdown_text(line)}" for line in headlines(comparison)),
            "",
            *markdown(PAIRS_HEAD, [_cells(*line) for line in _lines(comparison)], _legend(comparison)),
            "",
            *markdown(IMAGES_HEAD, [_image_cells(level) for level in comparison.levels], IMAGES_LEGEND),
            "",
            words(comparison),
        ]
    )


def _latex(comparison: Comparison) -> str:
    said = [f"% {line}" for line in (*headlines(comparison), words(comparison))]
    caption = ". ".join((*headlines(comparison), _legend(comparison)))
    pairs = [_cells(*line) for line in _lines(comparison)]
    images = [_image_cells(level) for level in comparison.levels]
    return "\n".join([*said, *latex(PAIRS_HEAD, pairs, caption), "", *latex(IMAGES_HEAD, images, IMAGES_LEGEND)])


def _csv(comparison: Comparison) -> str:
    rows = [comparison.first.recipe.level_fields(line[0].value) | _csv_row(*line) for line in _lines(comparison)]
    return to_csv(list(rows[0]), rows)


def _csv_row(level: LevelComparison, name: str, found: Compared | None) -> dict[str, Any]:
    row: dict[str, Any] = {"of": name, "both": level.both}
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
