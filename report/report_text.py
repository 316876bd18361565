"""A report as text: table, csv, json, markdown, latex. Every format says how many images it speaks of."""

import textwrap
from collections.abc import Sequence

from rich.table import Table

from db import article
from db.errors import plain
from report.data import json_text, to_json
from report.flat import level_rows
from report.names import (
    OTHER_NAMES,
    PAIRS_LEGEND,
    PAIRS_TITLE,
    POINT_NAMES,
    POINTS_LEGEND,
    POINTS_TITLE,
    SHOWN,
    SHOWN_UNLABELLED,
    TITLES,
    legend,
)
from report.report import COUNTS, RATES, Report
from report.stats import Rate
from report.text import latex, markdown, markdown_text, pair_cells, render, to_csv, with_ends, with_interval
from report.verdict import verdict


def format_report(report: Report, form: str) -> str:
    """A report as table, csv, json, markdown or latex, without a newline at the end."""
    return {
        "table": _table,
        "csv": _csv,
        "json": lambda report: json_text(to_json(report)),
        "markdown": _markdown,
        "latex": _latex,
    }[form](report)


def headline(report: Report) -> str:
    """The run in one line: what was measured, on what, and whether it is all there."""
    run = report.run
    part = f" of {run.available}" if run.available != run.expected else ""
    pending = max(level.pending for level in report.levels)
    state = f"INCOMPLETE: {pending} images pending" if pending else "complete"
    precision = "" if run.recipe.precision == "exact" else f", {run.recipe.precision}"
    images = f"{run.dataset} ({run.expected}{part} images)"
    line = f"{run.name} ({run.id}): {run.recipe.model}{precision} on {images}: {state}"
    return plain(" ".join(line.split()))  # a name may hold a newline, and this is one line


def _table(report: Report) -> str:
    table = Table()
    shown = _shown_rates(report)
    for title in ("σ", "images", *_shown_counts(report), *(TITLES[name] for name in shown)):
        table.add_column(title, justify="right")
    for level in report.levels:
        counts = [str(getattr(level, name)) for name in _shown_counts(report)]
        rates = [with_ends(level.rate(name)) for name in shown]
        table.add_row(f"{level.value:g}", str(level.expected), *counts, *rates)
    said = [render(table, above=headline(report), below=legend(report))]
    for title, head, rows, below in _tests(report):
        table = Table()
        for name in head:
            table.add_column(name, justify="left" if name == "accepted" else "right")
        for row in rows:
            table.add_row(*row)
        said.append(render(table, above=title, below=below))
    return "\n\n".join([*said, "\n".join(textwrap.wrap(verdict(report), 120))])


def _tests(report: Report) -> list[tuple[str, list[str], list[list[str]], str]]:
    """Title, head, rows and legend of each table of tests; none where nothing is labelled."""
    if not report.labelled:
        return []
    pairs = [
        [f"{level.value:g}", f"{level.saved}", f"{level.lost}"]
        + [cell for tested in level.against_ns.values() for cell in pair_cells(tested)]
        for level in report.levels
        if level.labelled
    ]
    points = [
        [f"{level.value:g}", POINT_NAMES[point.name]]
        + [with_ends(share) for share in (point.coverage, point.accuracy, point.thresholding)]
        + [*pair_cells(point.against_thresholding)]
        for level in report.levels
        if level.labelled
        for point in level.operating_points
    ]
    pairs_head = ["σ", "saved", "lost", *(cell for name in OTHER_NAMES.values() for cell in (name, "p"))]
    points_head = ["σ", "accepted", "coverage", "accuracy", "thresholding", "difference", "p"]
    return [(PAIRS_TITLE, pairs_head, pairs, PAIRS_LEGEND), (POINTS_TITLE, points_head, points, POINTS_LEGEND)]


def _shown_counts(report: Report) -> list[str]:
    # Predicted always; the others only where there is something to say.
    others = [name for name in ("failed", "skipped", "pending") if any(getattr(level, name) for level in report.levels)]
    unlabelled = any(level.labelled != level.predicted for level in report.levels)
    return ["predicted", *(["labelled"] if unlabelled else []), *others]


def _shown_rates(report: Report) -> Sequence[str]:
    return SHOWN if report.labelled else SHOWN_UNLABELLED


def _csv(report: Report) -> str:
    rows = [{name: value for name, value in row.items() if not name.startswith("run_")} for row in level_rows(report)]
    return to_csv(list(rows[0]), rows)


def _markdown(report: Report) -> str:
    head = ["σ", *COUNTS, *(TITLES[name] for name in RATES)]
    rows = [
        [f"{level.value:g}", *(str(getattr(level, name)) for name in COUNTS)]
        + [with_interval(level.rate(name)) for name in RATES]
        for level in report.levels
    ]
    said = [f"**{markdown_text(headline(report))}**", "", *markdown(head, rows, legend(report))]
    for title, columns, cells, below in _tests(report):
        said += ["", *markdown(columns, cells, f"{title}. {below}")]
    return "\n".join([*said, "", verdict(report)])


def _latex(report: Report) -> str:
    shown = _shown_rates(report)
    head = ["σ", "n", *(TITLES[name] for name in shown)]
    rows = [
        [f"{level.value:g}", str(level.predicted), *(with_interval(level.rate(name)) for name in shown)]
        for level in report.levels
    ]
    said = [
        f"% {headline(report)}",
        f"% {verdict(report)}",
        *latex(head, rows, f"{headline(report)}. {legend(report)}"),
    ]
    for title, columns, cells, below in _tests(report):
        said += ["", *latex(columns, cells, f"{title}. {below}")]
    return "\n".join(said)


def format_comparison(report: Report) -> str:
    """Ours beside the article's published table: of each cell our value, theirs, and the difference."""
    run, same = report.run, report.run.recipe.model == article.MODEL
    model = "the article's model" if same else f"ANOTHER MODEL than the article's {article.MODEL}"
    below = (
        f"Published: {article.IMAGES} photographs, one a class; ours: {run.expected} of {run.dataset}. {model}. "
        "In each cell ours, published, difference; * where the published value lies outside of our interval."
    )
    table = Table()
    for title in (report.run.axis.symbol, *(TITLES[name] for name in article.COLUMNS)):
        table.add_column(title, justify="right")
    for level in report.levels:
        published = article.TABLE[level.value]
        cells = (_against(level.rate(name), value) for name, value in zip(article.COLUMNS, published, strict=True))
        table.add_row(f"{level.value:g}", *cells)
    return render(table, above=headline(report), below=below)


def _against(share: Rate | None, published: float) -> str:
    if share is None:
        return f"– {published:.4f}"
    mark = " " if share.low <= published <= share.high else "*"
    return f"{share.value:.4f} {published:.4f} {share.value - published:+.4f}{mark}"
