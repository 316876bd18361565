"""Certificates as plain data: what `--format json` prints, and what the API of `serve` answers."""

from typing import Any

from report.certified import Certified, Stopped
from report.certified_level import QUANTILES, CertifiedLevel
from report.certified_verdict import verdict
from report.data import rate_json, run_json
from report.rates import COUNTS
from report.stats import Mean


def to_json(found: Certified) -> dict[str, Any]:
    """Certificates as plain data: ``{"run": …, "alpha": …, "levels": […], "envelope": […]}``; no run: from files."""
    return {
        "run": found.run and run_json(found.run),
        "name": found.name,
        "complete": found.complete,
        "interval": found.interval,
        "alpha": found.alpha,
        "n0": found.n0,
        "n": found.n,
        "stopping": found.stopped and _stopping_json(found.stopped),
        "verdict": verdict(found),
        "levels": [_level_json(level) for level in found.levels],
        "envelope": [
            {
                "radius": best.radius,
                "sigma": best.sigma,
                "value": best.rate.value,
                "ci": [best.rate.low, best.rate.high],
                "count": [best.rate.hits, best.rate.of],
            }
            for best in found.envelope
        ],
    }


def _stopping_json(stopped: Stopped) -> dict[str, Any]:
    """When images stop early, and how many copies that estimate they took on average; null until one has stopped."""
    rule = stopped.rule
    chosen = {"radius": rule.radius, "alpha": rule.alpha, "n": rule.n, "looks": list(rule.looks)}
    return chosen | {"mean_copies": stopped.mean_copies, "saved": stopped.saved}


def _level_json(level: CertifiedLevel) -> dict[str, Any]:
    values: dict[str, Any] = {"level": level.sigma, "sigma": level.sigma}
    values |= {name: getattr(level, name) for name in COUNTS}
    for name in ("abstention_rate", "acc_predict", "predict_abstention_rate"):
        values |= rate_json(name, getattr(level, name))
    return (
        values
        | mean_json("average_certified_radius", level.average_certified_radius)
        | {
            "radius_quantiles": dict(zip(map(str, QUANTILES), level.radius_quantiles, strict=False)),
            "largest_radius": level.largest_radius,
            "certified_accuracy": [
                {"radius": radius, "value": rate.value, "ci": [rate.low, rate.high], "count": [rate.hits, rate.of]}
                for radius, rate in level.certified_accuracy
            ],
        }
    )


def mean_json(name: str, found: Mean | None) -> dict[str, Any]:
    """A mean under its name, with its interval; null where it is of nothing."""
    return {name: found and found.value, f"{name}_ci": found and [found.low, found.high]}
