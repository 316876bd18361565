"""The report as plain data: what `--format json` prints, and what the API of `serve` answers."""

from typing import Any

from db.recipe import Recipe
from db.runs import RunInfo
from report.attack_verdict import warnings
from report.rates import COUNTS, RATES, SUCCESS_RATES
from report.report import Level, OperatingPoint, Report
from report.stats import Rate
from report.tested import Tested
from report.verdict import verdict


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain data: ``{"run": …, "complete": …, "levels": […]}``."""
    return {
        "run": run_json(report.run),
        "complete": report.complete,
        "interval": report.interval,
        "verdict": verdict(report),
        "warnings": warnings(report),
        "levels": [_level_json(level, report.run.recipe) for level in report.levels],
    }


def run_json(run: RunInfo) -> dict[str, Any]:
    """A run and its dataset as plain data."""
    return {
        "id": run.id,
        "name": run.name,
        "model": run.recipe.model,
        "weights_sha256": run.weights_sha256,
        "recipe": run.recipe.model_dump(mode="json"),
        "axis": run.axis._asdict(),
        "preprocessing": run.preprocessing,
        "dataset": {"name": run.dataset, "root": run.root, "images": run.expected, "available": run.available},
        "created_at": run.created_at.isoformat(),
        "cancelled": run.cancelled_at is not None,
    }


def _level_json(level: Level, recipe: Recipe) -> dict[str, Any]:
    values: dict[str, Any] = recipe.level_fields(level.value) | {name: getattr(level, name) for name in COUNTS}
    for name in (*RATES, *SUCCESS_RATES):
        values |= rate_json(name, level.rate(name))
    return values | {
        "saved": level.saved,
        "lost": level.lost,
        "against_ns": {view: tested and tested_json(tested) for view, tested in level.against_ns.items()},
        "operating_points": [_point_json(point) for point in level.operating_points],
        "risk_coverage": {"vote": level.curve_vote, "confidence": level.curve_confidence},
        "verdict": level.verdict,
    }


def _point_json(point: OperatingPoint) -> dict[str, Any]:
    thresholding = None
    if point.thresholding and point.against_thresholding:
        thresholding = rate_json("accuracy", point.thresholding) | tested_json(point.against_thresholding)
    coverage = point.coverage and point.coverage.value
    return {
        "name": point.name,
        "coverage": coverage,
        **rate_json("accuracy", point.accuracy),
        "thresholding": thresholding,
        "rival": thresholding,  # what it was called before
    }


def rate_json(name: str, share: Rate | None) -> dict[str, Any]:
    """A rate under its name, with its interval and its counts; null where it is of nothing."""
    return {
        name: share and share.value,
        f"{name}_ci": share and [share.low, share.high],
        f"{name}_count": share and [share.hits, share.of],
    }


def tested_json(tested: Tested) -> dict[str, Any]:
    """A paired difference and its test as plain data."""
    pair = tested.pair
    return {
        "only_first": pair.only_first,
        "only_second": pair.only_second,
        "of": pair.of,
        "difference": pair.difference,
        "difference_ci": [pair.low, pair.high],
        "p": pair.p,
        "p_holm": tested.p_holm,
    }
