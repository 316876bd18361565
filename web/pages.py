"""The list of runs, and the report of one run."""

from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from db.errors import WrongUse
from db.runs import Progress, RunInfo, count_runs, find_run, list_runs, progress
from report.names import PAIRS_LEGEND, PAIRS_TITLE, POINTS_LEGEND, POINTS_TITLE, attack_legend, legend
from report.rates import RATES, SUCCESS_RATES
from report.report import Level, Report
from report.verdict import verdict
from web.api import RUNS
from web.asked import PageNumber, RunName, TheRecord
from web.assets import static_files
from web.certified import Alpha, Copies, certified_page
from web.charts import ACCURACIES, Chart, rates_chart, risk_chart, series_of
from web.gallery import BEHIND, failure_codes
from web.render import level_text, link, page

routes = APIRouter()

#: Rows of the table of rates: confidence thresholding stands below the vote's selective accuracy.
SHOWN = tuple(row for name in RATES for row in ((name, "thresholding") if name == "acc_maj" else (name,)))
#: The same of a run under attack.
ATTACK_SHOWN = (*SHOWN, *SUCCESS_RATES)


@routes.get("/static/{name}")
def static(name: str) -> Response:
    """The style sheet, the script or the icon."""
    found = static_files().get(name)
    if found is None:
        raise HTTPException(404)
    keep = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(found.content, media_type=found.type, headers=keep)


@routes.get("/")
def runs(record: TheRecord, number: PageNumber = 1) -> Response:
    """One page of runs, the newest first."""
    if not record.begun:
        return page("runs.html", runs=[], number=1, last=1, live=None, pages_of=None)
    with record.reading() as session:
        last = max(1, -(-count_runs(session) // RUNS))
        if number > last:
            raise WrongUse(f"there is no page {number} of runs: the last is {last}")
        found = list_runs(session, limit=RUNS, offset=(number - 1) * RUNS)
        shown = [(run, progress(session, run)) for run in found]
    live = link("api", "runs", page=number) if any(is_open(so_far) for _, so_far in shown) else None
    return page("runs.html", runs=shown, number=number, last=last, live=live, pages_of=lambda number: link(page=number))


@routes.get("/runs/{run}")
def run(record: TheRecord, run: RunName, alpha: Alpha = None, n: Copies = None) -> Response:
    """The report of a run. α and n are for one of certificates."""
    with record.reading() as session:
        found = find_run(session, run)
        so_far = progress(session, found)
        live = link("api", "runs", found.id, "progress") if is_open(so_far) else None
        if found.recipe.certifies:
            return certified_page(record, session, found, so_far, alpha, n, live=live, recipe=_recipe(found))
        report = record.report(session, found, so_far)
        codes = failure_codes(session, found)
    attacked = found.axis.kind == "attack"
    risks = [risk_chart(level, found.axis, partial(_accepted, found, level)) for level in report.levels]
    return page(
        "run.html",
        run=found,
        so_far=so_far,
        live=live,
        report=report,
        verdict=verdict(report),
        legend=(attack_legend if attacked else legend)(report),
        behind=partial(_behind, found),
        rates=[
            name for name in (ATTACK_SHOWN if attacked else SHOWN) if any(level.rate(name) for level in report.levels)
        ],
        labelled=any(level.labelled for level in report.levels),
        charts=_charts(report),
        risks=[chart for chart in risks if chart],
        codes=codes,
        behind_code=lambda code: link("runs", found.id, "images", code=code),
        recipe=_recipe(found),
        data=link("api", "runs", found.id),
        tests={"pairs": (PAIRS_TITLE, PAIRS_LEGEND), "points": (POINTS_TITLE, POINTS_LEGEND)},
    )


def _charts(report: Report) -> list[Chart]:
    """Accuracies, where images have labels, and rejects, both against the level."""
    found = []
    for key, title, y_title, names in (
        ("accuracy", "Accuracy", "accuracy", ACCURACIES),
        ("rejects", "Rejects", "reject rate", ("reject_rate",)),
    ):
        if series := series_of(report, names, partial(_behind, report.run)):
            found.append(rates_chart(key, f"{title} against {report.run.axis.title}", series, y_title=y_title))
    return found


def _recipe(run: RunInfo) -> dict[str, Any]:
    """Everything that the answers depend on.

    Where the recipe leaves the preprocessing to the weights, what the first worker recorded.
    """
    fields = run.recipe.model_dump(exclude_none=True, exclude={"classes"})
    fields["levels"] = ", ".join(map(run.axis.number, run.recipe.levels))
    return fields | (run.preprocessing or {}) | {"weights_sha256": run.weights_sha256 or "no worker has begun yet"}


def is_open(so_far: Progress) -> bool:
    """Whether the run may still get results."""
    return not so_far.complete and not so_far.cancelled


def _behind(run: RunInfo, name: str) -> Callable[[Level], str | None]:
    if name not in BEHIND:
        return lambda level: None
    return lambda level: link("runs", run.id, "images", level=level_text(level.value), outcome=BEHIND[name])


def _accepted(run: RunInfo, level: Level, point: str) -> str:
    outcome = {"unanimous": "unanimous", "majority": "accepted"}.get(point)
    return link("runs", run.id, "images", level=level_text(level.value), outcome=outcome)
