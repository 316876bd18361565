"""A run's report as a document: the verdict, a table of every level, and the tests in detail."""

from collections.abc import Collection, Iterator

from db.axis import Axis
from report.data import to_json
from report.document import Cell, Document, PValue, Step, Table, Written
from report.flat import level_rows
from report.names import (
    OTHER_NAMES,
    PAIRS_LEGEND,
    PAIRS_TITLE,
    POINT_NAMES,
    POINTS_LEGEND,
    POINTS_TITLE,
    SHOWN_UNLABELLED,
    TITLES,
    attack_legend,
    legend,
    method,
)
from report.rates import COUNTS, RATES
from report.report import Level, OperatingPoint, Report
from report.tested import Tested
from report.verdict import verdict

#: Heads of the summary's columns.
SUMMARY = {
    "acc_ns": "Acc NS",
    "acc_ss": "Acc SS",
    "acc_ds": "Acc DS",
    "acc_maj": "Selective accuracy (Acc Maj)",
    "thresholding": "the same by thresholding",
    "acc_maj_overall": "Acc Maj overall",
    "reject_rate": "Reject",
}
#: The same of a run under attack.
ATTACK_SUMMARY = {
    "acc_ns": "Robust NS",
    "acc_ss": "Robust SS",
    "acc_ds": "Robust DS",
    "acc_maj_overall": "Robust vote",
    "reject_rate": "Reject",
    "attack_success": "Attack success",
    "attack_success_thresholding": "success by thresholding",
}


def document(report: Report) -> Document:
    """A report, as it is printed."""
    rows = level_rows(report)
    return Document(
        headline=[headline(report)],
        verdict=verdict(report),
        summary=_summary(report),
        counts=_counts(report),
        details=[_rest(report), *_tests(report)],
        steps=_steps(report),
        data=to_json(report),
        records=[{name: value for name, value in row.items() if not name.startswith("run_")} for row in rows],
    )


def headline(report: Report) -> str:
    """The run in one line: what was measured, on what, and whether it is complete."""
    run = report.run
    part = f" of {run.available}" if run.available != run.expected else ""
    pending = max(level.pending for level in report.levels)
    word = "CANCELLED" if run.cancelled_at else "INCOMPLETE"
    state = f"{word}: {pending} image{'s' * (pending > 1)} pending" if pending else "complete"
    return f"{run.name} ({run.id}): {method(run.recipe)} on {run.dataset} ({run.expected}{part} images): {state}"


def _summary(report: Report) -> Table:
    """One table that fits 80 columns: the rates that answer the question."""
    axis = report.run.axis
    if not report.labelled:
        head = [axis.symbol, *(TITLES[name] for name in SHOWN_UNLABELLED)]
        rows = [[Written(axis.number(level.value)), *map(level.rate, SHOWN_UNLABELLED)] for level in report.levels]
        return Table(head=head, rows=rows, legend=legend(report))
    shown = ATTACK_SUMMARY if axis.kind == "attack" else SUMMARY
    head = [axis.symbol, *shown.values()]
    rows = [[Written(axis.number(level.value)), *map(level.rate, shown)] for level in report.levels]
    return Table(head=head, rows=rows, legend=(attack_legend if axis.kind == "attack" else legend)(report))


def _counts(report: Report) -> str:
    """How many images each level is about; said once where all levels have the same."""
    said: dict[str, list[str]] = {}
    for level in report.levels:
        line = (
            f"{level.expected} expected = {level.predicted} predicted + {level.failed} failed + {level.skipped} skipped "
            f"+ {level.pending} pending; {level.labelled} labelled"
        )
        said.setdefault(line, []).append(report.run.axis.at(level.value))
    if len(said) == 1:
        return f"{next(iter(said))}."
    return " ".join(f"At {', '.join(levels)}: {line}." for line, levels in said.items())


def _rest(report: Report) -> Table:
    """The counts, and the rates that the summary leaves out."""
    shown: Collection[str] = ATTACK_SUMMARY if report.run.axis.kind == "attack" else SUMMARY
    if not report.labelled:
        shown = SHOWN_UNLABELLED
    rates = [name for name in RATES if name not in shown and any(level.rate(name) for level in report.levels)]
    return Table(
        title="Counts of images, coverage, and how often views agree",
        head=[report.run.axis.symbol, *COUNTS, *(TITLES[name] for name in rates)],
        rows=[
            [
                Written(report.run.axis.number(level.value)),
                *(getattr(level, name) for name in COUNTS),
                *map(level.rate, rates),
            ]
            for level in report.levels
        ],
        legend="All agree: the three views give one label. SS = NS, DS = NS: these two do.",
    )


def _tests(report: Report) -> Iterator[Table]:
    """The tests against no smoothing and against confidence thresholding; none where nothing is labelled."""
    if not report.labelled:
        return
    axis = report.run.axis
    levels = [level for level in report.levels if level.labelled]
    yield Table(
        title=PAIRS_TITLE,
        head=[axis.symbol, "saved", "lost", *(cell for name in OTHER_NAMES.values() for cell in (name, "p"))],
        rows=[
            [Written(axis.number(level.value)), level.saved, level.lost]
            + [cell for tested in level.against_ns.values() for cell in pair_cells(tested)]
            for level in levels
        ],
        legend=PAIRS_LEGEND,
    )
    yield Table(
        title=POINTS_TITLE,
        head=[axis.symbol, "accepted", "coverage", "accuracy", "thresholding", "difference", "p"],
        rows=[_point_row(level, point, axis) for level in levels for point in level.operating_points],
        legend=POINTS_LEGEND,
        keys=2,
        together=len(POINT_NAMES),
    )


def _point_row(level: Level, point: OperatingPoint, axis: Axis) -> list[Cell]:
    shares = (point.coverage, point.accuracy, point.thresholding)
    return [
        Written(axis.number(level.value)),
        POINT_NAMES[point.name],
        *shares,
        *pair_cells(point.against_thresholding),
    ]


def pair_cells(tested: Tested | None) -> tuple[Cell, Cell]:
    """A paired difference with its interval, and its adjusted p."""
    return (tested.pair, PValue(tested.p_holm)) if tested else (None, None)


def _steps(report: Report) -> list[Step]:
    run = report.run.id
    behind = {
        "lost": any(level.lost for level in report.levels),
        "rejected": any(level.reject_rate and level.reject_rate.hits for level in report.levels),
    }
    outcome = next((outcome for outcome, any_is in behind.items() if any_is), None)
    return [
        *([Step(f"images the vote {outcome}", f"smoothvote images {run} --outcome {outcome}")] if outcome else []),
        Step("one image as it was seen", f"smoothvote show IMAGE --run {run}"),
        Step("all rates and tests", f"smoothvote report {run} --detail"),
        Step("in a browser", "smoothvote serve"),
    ]
