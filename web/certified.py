"""Certificates on the pages: of one run, for any α and n that its counts can answer, and of two runs compared."""

from typing import Annotated, Any

from fastapi import HTTPException, Query
from sqlalchemy.orm import Session
from starlette.responses import Response

from db.errors import WrongUse
from db.runs import Progress, RunInfo, progress
from report.certified import Certified, certified
from report.certified_comparison import compare_certified
from report.counts import ends
from report.document import Document
from report.documents.certified import document
from report.documents.certified_comparison import document as compared_document
from web.asked import Given
from web.certified_chart import certified_chart
from web.gallery import failure_codes
from web.record import Record
from web.render import link, page

CHART_TITLE = "Certified accuracy against the radius"
#: α and n, as a person typed or followed them.
Alpha = Annotated[float | None, Given, Query()]
Copies = Annotated[int | None, Given, Query(alias="n")]


def counted(
    record: Record, session: Session, run: RunInfo, so_far: Progress, alpha: float | None, n: int | None
) -> Certified:
    """The certificates of a run, counted once for each α, n and state of the run.

    Raises:
        HTTPException: 400, for an α or n that the record cannot answer.
    """
    try:
        return record.once(
            ("certified", run.id, alpha, n), lambda: certified(session, run, alpha=alpha, n=n), so_far
        )  # fmt: skip
    except WrongUse as error:
        raise HTTPException(400, str(error).removeprefix("--")) from None  # the message was written for a flag


def certified_page(
    record: Record, session: Session, run: RunInfo, so_far: Progress, alpha: float | None, n: int | None, **shown: Any
) -> Response:
    """The report of a certified run. For an α or n that it cannot answer: the usual report, and what is wrong.

    Args:
        record: what is read.
        session: a reading one.
        run: a run of certificates.
        so_far: its progress.
        alpha: the probability with which each certificate may be wrong; None: the usual one, as in usual_alpha().
        n: how many of the stored copies estimate; None for all that were asked for.
        shown: what the page shares with that of a run of votes.
    """
    refused = None
    try:
        found = counted(record, session, run, so_far, alpha, n)
    except HTTPException as error:
        found, refused, shown = counted(record, session, run, so_far, None, None), error.detail, shown | {"live": None}
        alpha = n = None
    told: Document = document(found)
    lines = [(f"σ = {level.sigma:g}", level) for level in found.levels if level.certified_accuracy]
    chart = certified_chart("certified", CHART_TITLE, lines)
    return page(
        "certified.html",
        400 if refused else 200,
        refused=refused,
        run=run,
        so_far=so_far,
        found=found,
        verdict=told.verdict,
        counts=told.counts,
        legend=told.summary.legend,
        tables=told.details if found.labelled else [told.summary, *told.details],
        charts=[chart] if chart else [],
        codes=failure_codes(session, run),
        choices=ends(session, run),
        data=link("api", "runs", run.id, alpha=alpha, n=n),
        **shown,
    )


def compared_certificates(record: Record, session: Session, first: RunInfo, second: RunInfo) -> dict[str, Any]:
    """Verdict, chart and tables of two certified runs, or the reason why they are not compared."""
    shown: dict[str, Any] = {"refused": None, "comparison": None, "charts": [], "tables": []}
    so_far = [progress(session, run) for run in (first, second)]
    try:
        comparison = record.once(
            ("certified", first.id, second.id), lambda: compare_certified(session, first, second), *so_far
        )
        pair = [
            counted(record, session, run, state, comparison.alpha, n)
            for run, state, n in zip((first, second), so_far, (comparison.first_n, comparison.second_n), strict=True)
        ]
    except WrongUse as error:
        return shown | {"refused": str(error)}
    common = {level.sigma for level in comparison.levels}
    lines = [
        (f"{side}: σ = {level.sigma:g}", level)
        for side, found in zip("AB", pair, strict=True)
        for level in found.levels
        if level.sigma in common and level.certified_accuracy
    ]
    chart, told = certified_chart("certified", CHART_TITLE, lines), compared_document(comparison)
    tables = [told.summary, *told.details]
    return shown | {
        "comparison": comparison, "words": told.verdict, "charts": [chart] if chart else [], "tables": tables, "rows": {},
    }  # fmt: skip
