"""A run of the article's recipe beside the article's published table, as a document."""

from db import article
from report.document import Cell, Document, Marked, Number, Table
from report.documents.report import headline
from report.names import INTERVAL_NAMES, TITLES
from report.report import Report
from report.stats import CONFIDENCE, Rate

#: Beside a rate of ours: the published one lies outside its interval.
MARK = "*"


def document(report: Report) -> Document:
    """Of each level and rate: ours, the published value, and the difference."""
    pairs = [
        (level.rate(name), published)
        for level in report.levels
        for name, published in zip(article.COLUMNS, article.TABLE[level.value], strict=True)
    ]
    within = sum(ours is not None and not _apart(ours, published) for ours, published in pairs)
    run, model = report.run, report.run.recipe.model
    which = "the article's model" if model == article.MODEL else f"ANOTHER MODEL than the article's {article.MODEL}"
    return Document(
        headline=[headline(report)],
        verdict=f"{within} of {len(pairs)} published values lie within the {CONFIDENCE:.0%} interval of ours. This is {which}.",
        summary=Table(
            head=[run.axis.symbol, "", *(TITLES[name] for name in article.COLUMNS)],
            rows=_rows(report),
            legend=(
                f"Published: {article.IMAGES} photographs, one a class; ours: {run.expected} of {run.dataset}. Rates have "
                f"{INTERVAL_NAMES[report.interval]} intervals; {MARK}: the published value lies outside."
            ),
            keys=2,
            together=3,
        ),
    )


def _rows(report: Report) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for level in report.levels:
        published = article.TABLE[level.value]
        ours = [level.rate(name) for name in article.COLUMNS]
        both = list(zip(ours, published, strict=True))
        rows += [
            [
                level.value,
                "ours",
                *(Marked(rate, MARK if rate and _apart(rate, value) else "") for rate, value in both),
            ],
            [level.value, "published", *(Number(value, ".4f") for value in published)],
            [level.value, "difference", *(rate and Number(rate.value - value, "+.4f") for rate, value in both)],
        ]
    return rows


def _apart(ours: Rate, published: float) -> bool:
    return not ours.low <= published <= ours.high
