"""Certificates as flat rows, one a level. docs/reference/python.md has the columns."""

from typing import Any

from report.certified import Certified
from report.certified_level import QUANTILES, CertifiedLevel
from report.flat import rate_cells
from report.rates import COUNTS


def level_rows(found: Certified) -> list[dict[str, Any]]:
    """A row a level: every count, rate and interval; None where there are no images for it."""
    run = {"run_id": found.run and found.run.id, "run_name": found.name}
    chosen = {"alpha": found.alpha, "n0": found.n0, "n": found.n}
    return [run | {"level": level.sigma, "sigma": level.sigma} | chosen | _level(level) for level in found.levels]


def _level(level: CertifiedLevel) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(level, name) for name in COUNTS}
    for name in ("abstention_rate", "acc_predict", "predict_abstention_rate"):
        row |= rate_cells(name, getattr(level, name))
    average = level.average_certified_radius
    row |= {
        "average_certified_radius": average and average.value,
        "average_certified_radius_low": average and average.low,
        "average_certified_radius_high": average and average.high,
    }
    for number, share in enumerate(QUANTILES):
        row[f"radius_q{share * 100:g}"] = level.radius_quantiles[number] if level.radius_quantiles else None
    row |= {"largest_radius": level.largest_radius}
    for radius in level.radii:
        row |= rate_cells(f"certified_{radius:g}", level.at(radius))
    return row


def level_types(row: dict[str, Any]) -> dict[str, type]:
    """The type of each column of these rows, also of a column that is None in all of them."""
    return {column: _type(column) for column in row}


def _type(column: str) -> type:
    if column in ("run_id", "run_name"):
        return str
    return int if column in (*COUNTS, "n0", "n") or column.endswith(("_hits", "_of")) else float
