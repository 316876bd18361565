"""The page that compares two runs: run A is chosen first, then run B among those that can be compared with it."""

from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from db.errors import WrongUse
from db.runs import RunInfo, count_runs, find_run, list_runs, progress
from report.comparison import compare
from report.comparison_verdict import verdict as words
from report.names import TITLES
from report.report import Level, Report
from web.asked import RunChoice, TheRecord
from web.certified import compared_certificates
from web.charts import Chart, Series, rates_chart
from web.gallery import BEHIND
from web.record import Record
from web.render import level_text, link, page

routes = APIRouter()

#: Runs that a list offers at most. The text field beside it takes every run, by id or name.
OFFERED = 200

#: What is drawn of each run: the end of its class in style.css, its title, its marker.
ACCURACIES = {"acc_ns": ("ns", "no smoothing", "circle"), "acc_maj_overall": ("maj", "vote", "diamond")}
REJECTS = {"reject_rate": ("reject", "rejected", "cross")}
#: The markers of run B in place of A's.
MARKERS_OF_B = {"circle": "square", "diamond": "down", "cross": "up"}
#: Titles of the rows of a level.
ROWS = {
    "ns": TITLES["acc_ns"],
    "ss": TITLES["acc_ss"],
    "ds": TITLES["acc_ds"],
    "maj": TITLES["acc_maj_overall"],
    "reject": TITLES["reject_rate"],
}


@routes.get("/compare")
def two(
    record: TheRecord,
    a: RunChoice = None,
    b: RunChoice = None,
    a_named: RunChoice = None,
    b_named: RunChoice = None,
) -> Response:
    """Two runs: the choice of each, then the comparison.

    Args:
        record: what is read.
        a: the first run, as chosen from a list.
        b: the second run.
        a_named: what a person typed into the text field; it goes before the choice from the list.
        b_named: the same for the second run.
    """
    if not record.begun:
        return page("compare.html", a=None, b=None, offered=[], recorded=0, most=OFFERED)
    with record.reading() as session:
        chosen = [find_run(session, name) for name in (a_named or a, b_named or b) if name]
        first, second = (*chosen, None, None)[:2]
        if a_named or b_named:
            return RedirectResponse(link("compare", a=first and first.id, b=second and second.id), 303)
        shown: dict[str, Any] = {"a": first, "b": second, "recorded": count_runs(session), "most": OFFERED}
        shown["offered"] = _offered(session, first, second)
        if first and second:
            shown |= _comparison(record, session, first, second)
    return page("compare.html", **shown)


def comparable(first: RunInfo, second: RunInfo) -> bool:
    """Whether two runs can be compared image by image: one kind, the same images, classes and axis, a common level."""
    return (
        first.id != second.id
        and first.dataset_id == second.dataset_id
        and first.axis == second.axis
        and first.recipe.certifies == second.recipe.certifies
        and first.recipe.classes == second.recipe.classes
        and not set(first.recipe.levels).isdisjoint(second.recipe.levels)
    )


def _offered(session: Session, first: RunInfo | None, second: RunInfo | None) -> list[RunInfo]:
    """The newest runs that can be chosen next: for A every run, for B those that are comparable with A."""
    if first is None:
        return list_runs(session, limit=OFFERED)
    found = [run for run in list_runs(session, dataset_id=first.dataset_id, limit=OFFERED) if comparable(first, run)]
    # The list shows the chosen run in any case.
    return found if second is None or second in found else [second, *found]


def _comparison(record: Record, session: Session, first: RunInfo, second: RunInfo) -> dict[str, Any]:
    """Verdict, charts and table of two runs, or the reason why they are not compared."""
    if first.recipe.certifies or second.recipe.certifies:
        return compared_certificates(record, session, first, second)
    so_far = [progress(session, run) for run in (first, second)]
    reports = [record.report(session, run, state) for run, state in zip((first, second), so_far, strict=True)]
    charts = _charts(reports) if first.axis == second.axis else []
    found: dict[str, Any] = {"refused": None, "comparison": None, "charts": charts, "tables": []}
    try:
        counted = record.once(("compare", first.id, second.id), lambda: compare(session, first, second), *so_far)
    except WrongUse as error:
        return found | {"refused": str(error)}
    return found | {"comparison": counted, "words": words(counted), "rows": ROWS}


def _charts(reports: list[Report]) -> list[Chart]:
    """Accuracies and rejects of both runs against the level."""
    against = reports[0].run.axis.title
    return [
        rates_chart(key, title, series, y_title=y_title)
        for key, title, y_title, shown in (
            ("accuracy", f"Accuracy against {against}, a reject counting as wrong", "accuracy", ACCURACIES),
            ("rejects", f"Rejects against {against}", "reject rate", REJECTS),
        )
        if (series := _series(reports, shown))
    ]


def _series(reports: list[Report], shown: dict[str, tuple[str, str, str]]) -> list[Series]:
    return [
        Series(
            report=report,
            rate=name,
            key=f"{side}_{key}",
            title=f"{side.upper()}: {title}",
            marker=marker if side == "a" else MARKERS_OF_B[marker],
            href=partial(_behind, report.run, BEHIND[name]),
        )
        for side, report in zip("ab", reports, strict=True)
        for name, (key, title, marker) in shown.items()
        if any(level.rate(name) for level in report.levels)
    ]


def _behind(run: RunInfo, outcome: str, level: Level) -> str:
    return link("runs", run.id, "images", level=level_text(level.value), outcome=outcome)
