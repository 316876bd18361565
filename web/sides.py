"""The page of two runs, side by side."""

from functools import partial

from fastapi import APIRouter
from starlette.responses import Response

from db.errors import WrongUse
from db.runs import RunInfo, find_run, list_runs, progress
from report.comparison import Comparison, compare
from report.comparison_text import words
from report.report import Level, Report
from web.asked import Side, TheRecord
from web.charts import Series, rates_chart
from web.gallery import BEHIND
from web.render import level_text, link, page

routes = APIRouter()

#: What is drawn of each run: the end of its class in style.css, what it is called, its marker.
ACCURACIES = {"acc_ns": ("ns", "no smoothing", "circle"), "acc_maj_overall": ("maj", "vote", "diamond")}
REJECTS = {"reject_rate": ("reject", "rejected", "cross")}


@routes.get("/compare")
def two(record: TheRecord, a: Side = None, b: Side = None) -> Response:
    """Two runs, image by image where they are over the same images, else only their curves."""
    if not record.begun:
        return page("compare.html", runs=[], a=None, b=None)
    with record.reading() as session:
        runs = list_runs(session)
        first, second = (find_run(session, name) if name else None for name in (a, b))
        if first is None or second is None:
            return page("compare.html", runs=runs, a=first, b=second)
        so_far = [progress(session, run) for run in (first, second)]
        reports = [record.report(session, run, state) for run, state in zip((first, second), so_far, strict=True)]
        comparison: Comparison | None = None
        refused = None
        try:
            comparison = record.once(("compare", first.id, second.id), lambda: compare(session, first, second), *so_far)
        except WrongUse as error:
            refused = str(error)
    return page(
        "compare.html",
        runs=runs,
        a=first,
        b=second,
        comparison=comparison,
        refused=refused,
        words=comparison and words(comparison),
        charts=[
            rates_chart(key, title, series, y_title=y_title)
            for key, title, y_title, shown in (
                ("accuracy", "Accuracy against noise, a reject counting as wrong", "accuracy", ACCURACIES),
                ("rejects", "Rejects against noise", "reject rate", REJECTS),
            )
            if (series := _series(reports, shown))
        ],
    )


def _series(reports: list[Report], shown: dict[str, tuple[str, str, str]]) -> list[Series]:
    return [
        Series(
            report=report,
            rate=name,
            key=f"{side}_{key}",
            title=f"{side.upper()}: {title}",
            marker=marker if side == "a" else {"circle": "square", "diamond": "down", "cross": "up"}[marker],
            href=partial(_behind, report.run, BEHIND[name]),
        )
        for side, report in zip("ab", reports, strict=True)
        for name, (key, title, marker) in shown.items()
        if any(level.rate(name) for level in report.levels)
    ]


def _behind(run: RunInfo, outcome: str, level: Level) -> str:
    return link("runs", run.id, "images", level=level_text(level.value), outcome=outcome)
