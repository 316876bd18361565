"""Two certified runs compared, as a document: the verdict, certified accuracy at a few radii, and at all in detail."""

from typing import Any

from report.certified_comparison import CertifiedComparison, CertifiedLevelComparison, ComparedAt
from report.certified_comparison_verdict import verdict
from report.certified_data import mean_json
from report.document import Cell, Document, Number, Step, Table, Written
from report.documents.comparison import compared_cells, compared_json, headlines, runs_json
from report.names import INTERVAL_NAMES
from report.stats import CONFIDENCE, Mean

#: The radii in the summary: all of them where there are few.
SHOWN_STEP, FEW = 0.5, 6


def document(comparison: CertifiedComparison) -> Document:
    """A comparison of certificates, as it is printed."""
    first, second = comparison.first.id, comparison.second.id
    return Document(
        headline=[*headlines(comparison), conditions(comparison)],
        verdict=verdict(comparison),
        summary=_radii(comparison, short=True),
        details=[_radii(comparison, short=False), _rest(comparison)],
        steps=[
            Step("every radius, abstentions, averages", f"smoothvote compare {first} {second} --detail"),
            Step("a plot", f"smoothvote compare {first} {second} --plot differences.png"),
            Step("one of them alone", f"smoothvote report {second}"),
        ],
        data=to_json(comparison),
        records=[_record(comparison, level, at) for level in comparison.levels for at in level.radii],
    )


def conditions(comparison: CertifiedComparison) -> str:
    """With how many copies, and for which α, the certificates of both runs are compared."""
    if comparison.n is not None:
        return f"at n = {comparison.n}, α = {comparison.alpha:g}"
    return f"first at n = {comparison.first_n}, second at n = {comparison.second_n}, α = {comparison.alpha:g}"


def _radii(comparison: CertifiedComparison, *, short: bool) -> Table:
    rows: list[list[Cell]] = []
    for level in comparison.levels:
        few = len(level.radii) <= FEW
        for at in level.radii:
            if short and not few and at.radius % SHOWN_STEP and at.radius != comparison.stops_at:
                continue
            pair = at.compared.tested.pair
            only: list[Cell] = [] if short else [pair.only_first, pair.only_second]
            first, second, difference, p = compared_cells(at.compared)
            rows.append([Written(f"{level.sigma:g}"), Written(f"{at.radius:g}"), first, second, difference, *only, p])
    return Table(
        title="" if short else "Certified accuracy at each radius",
        head=["σ", "radius", "first", "second", "second − first", *([] if short else ["only first", "only second"]), "p"],
        rows=rows,
        legend=_legend(comparison) if short else "Only first, only second: images that one run alone certifies there.",
        keys=2,
    )  # fmt: skip


def _legend(comparison: CertifiedComparison) -> str:
    return (
        "Certified accuracy of both runs over the images that both predicted: the share with their true label and at least "
        f"that radius. Rates have {CONFIDENCE:.0%} {INTERVAL_NAMES[comparison.interval]} intervals, differences Newcombe's "
        "for paired proportions. p: McNemar's exact test, adjusted for the number of σ and radii (Holm)."
    )


def _rest(comparison: CertifiedComparison) -> Table:
    head = ["σ", "both predicted", "only first", "only second", "labelled"]
    head += ["abstains, first", "abstains, second", "second − first", "p"]
    head += ["average radius, first", "average radius, second", "larger by"]
    return Table(
        title="Images, abstentions, and average certified radii",
        head=head,
        rows=[
            [
                Written(f"{level.sigma:g}"),
                level.both,
                level.only_first,
                level.only_second,
                level.labelled,
                *compared_cells(level.abstains),
                *(level.averages[:2] if level.averages else (None, None)),
                _signed(level.averages.difference) if level.averages else None,
            ]
            for level in comparison.levels
        ],
        legend=(
            "Abstains: no certificate. Average radius: over the labelled images, a wrong label or an abstention counting as "
            "0, with normal intervals."
        ),
    )


def _signed(found: Mean) -> Cell:
    return Number(found.value, "+.4f")


# -- plain data --------------------------------------------------------------------------------------------------


def to_json(comparison: CertifiedComparison) -> dict[str, Any]:
    """The comparison as plain data: ``{"first": …, "second": …, "alpha": …, "n": …, "levels": […]}``."""
    return runs_json(comparison) | {
        "alpha": comparison.alpha,
        "n": comparison.n,
        "first_n": comparison.first_n,
        "second_n": comparison.second_n,
        "verdict": verdict(comparison),
        "levels": [_level_json(level) for level in comparison.levels],
    }


def _level_json(level: CertifiedLevelComparison) -> dict[str, Any]:
    values: dict[str, Any] = {"level": level.sigma, "sigma": level.sigma}
    values |= {name: getattr(level, name) for name in ("both", "only_first", "only_second", "labelled")}
    values["certified_accuracy"] = [
        {"radius": at.radius} | compared_json(at.compared) | {"verdict": at.compared.tested.verdict}
        for at in level.radii
    ]
    values["abstains"] = level.abstains and compared_json(level.abstains)
    averages = level.averages
    for name in ("first", "second", "difference"):
        values |= mean_json(f"average_certified_radius_{name}", averages and getattr(averages, name))
    return values


def _record(comparison: CertifiedComparison, level: CertifiedLevelComparison, at: ComparedAt) -> dict[str, Any]:
    pair = at.compared.tested.pair
    row: dict[str, Any] = {"level": level.sigma, "sigma": level.sigma, "radius": at.radius}
    row |= {"alpha": comparison.alpha, "n": comparison.n, "both": level.both, "images": pair.of}
    row |= {"first_n": comparison.first_n, "second_n": comparison.second_n}
    for run, share in (("first", at.compared.first), ("second", at.compared.second)):
        row |= {run: share.value, f"{run}_low": share.low, f"{run}_high": share.high}
    return row | {
        "difference": pair.difference,
        "difference_low": pair.low,
        "difference_high": pair.high,
        "only_first": pair.only_first,
        "only_second": pair.only_second,
        "p": pair.p,
        "p_holm": at.compared.tested.p_holm,
    }
