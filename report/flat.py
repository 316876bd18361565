"""A report as flat rows, one a level. docs/reference/python.md has the columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from report.rates import COUNTS, RATES, SUCCESS_RATES
from report.report import OTHERS, Level, OperatingPoint, Report
from report.stats import Rate
from report.tested import Tested


def level_rows(report: Report) -> list[dict[str, Any]]:
    """A row a level: every count, rate, interval and test of the report; None where there are no images for it."""
    run = {"run_id": report.run.id, "run_name": report.run.name}
    return [run | report.run.recipe.level_fields(level.value) | _level(level) for level in report.levels]


def _level(level: Level) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(level, name) for name in COUNTS}
    for name in (*RATES, *SUCCESS_RATES):
        row |= rate_cells(name, level.rate(name))
    row |= {"saved": level.saved, "lost": level.lost}
    for view in OTHERS:
        row |= _pair(f"{view}_less_ns", level.against_ns[view])
    for point in level.operating_points:
        row |= _point(point)
    return row | {"verdict": level.verdict}


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {
        f"{point.name}_coverage": point.coverage and point.coverage.value,
        **rate_cells(f"{point.name}_accuracy", point.accuracy),
        **rate_cells(f"{point.name}_thresholding_accuracy", point.thresholding),
        **_pair(f"{point.name}_less_thresholding", point.against_thresholding),
    }


def rate_cells(name: str, share: Rate | None) -> dict[str, Any]:
    """A rate with its interval and its counts, in cells of their own."""
    return {
        name: share and share.value,
        f"{name}_low": share and share.low,
        f"{name}_high": share and share.high,
        f"{name}_hits": share and share.hits,
        f"{name}_of": share and share.of,
    }


def _pair(name: str, tested: Tested | None) -> dict[str, Any]:
    pair = tested and tested.pair
    return {
        name: pair and pair.difference,
        f"{name}_low": pair and pair.low,
        f"{name}_high": pair and pair.high,
        f"{name}_only_first": pair and pair.only_first,
        f"{name}_only_second": pair and pair.only_second,
        f"{name}_of": pair and pair.of,
        f"{name}_p": pair and pair.p,
        f"{name}_p_holm": tested and tested.p_holm,
    }


def level_types(rows: Sequence[Mapping[str, Any]]) -> dict[str, type]:
    """The type of each column of these rows, also of a column that is None in all of them."""
    return {column: _type(column) for column in rows[0]}


def _type(column: str) -> type:
    if column in ("run_id", "run_name", "verdict"):
        return str
    counts = ("_hits", "_of", "_only_first", "_only_second")
    return int if column in (*COUNTS, "saved", "lost") or column.endswith(counts) else float
