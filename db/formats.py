"""A report as text: table, csv, json, markdown, latex. Every format says how many images it speaks of."""

import csv
import io
import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table

from db import article
from db.outcomes import ImageOutcome
from db.report import COUNTS, RATES, Level, OperatingPoint, Report, Tested
from db.stats import CONFIDENCE, Rate
from db.verdict import verdict

#: What a person reads in a table's head.
TITLES = {
    "sigma": "σ",
    "acc_ns": "Acc NS",
    "acc_ss": "Acc SS",
    "acc_ds": "Acc DS",
    "acc_maj": "Acc Maj",
    "acc_maj_overall": "Acc Maj overall",
    "reject_rate": "Reject",
    "coverage": "Coverage",
    "unanimous_rate": "All agree",
    "agree_ss": "SS = NS",
    "agree_ds": "DS = NS",
}
#: The rates that a table shows, and those of a run without labels.
SHOWN = RATES[:6]
SHOWN_UNLABELLED = ("reject_rate", "unanimous_rate", "agree_ss", "agree_ds")
INTERVAL_NAMES = {"wilson": "Wilson", "clopper-pearson": "Clopper–Pearson"}
POINT_NAMES = {"unanimous": "3 of 3 agree", "majority": "2 of 3 agree", "always": "always"}
OTHER_NAMES = {"ss": "SS − NS", "ds": "DS − NS", "maj": "vote − NS"}


def format_report(report: Report, form: str) -> str:
    """A report as table, csv, json, markdown or latex, without a newline at the end."""
    return {
        "table": _table,
        "csv": _csv,
        "json": lambda report: json.dumps(to_json(report), indent=2),
        "markdown": _markdown,
        "latex": _latex,
    }[form](report)


def to_json(report: Report) -> dict[str, Any]:
    """The report as plain data: ``{"run": …, "complete": …, "levels": […]}``."""
    run = report.run
    return {
        "run": {
            "id": run.id,
            "name": run.name,
            "model": run.recipe.model,
            "weights_sha256": run.weights_sha256,
            "recipe": run.recipe.model_dump(mode="json"),
            "preprocessing": run.preprocessing,
            "dataset": {"name": run.dataset, "root": run.root, "images": run.expected, "available": run.available},
            "created_at": run.created_at.isoformat(),
            "cancelled": run.cancelled_at is not None,
        },
        "complete": report.complete,
        "interval": report.interval,
        "verdict": verdict(report),
        "levels": [_level_json(level) for level in report.levels],
    }


def _level_json(level: Level) -> dict[str, Any]:
    values: dict[str, Any] = {"sigma": level.sigma} | {name: getattr(level, name) for name in COUNTS}
    for name in RATES:
        values |= rate_json(name, level.rate(name))
    return values | {
        "saved": level.saved,
        "lost": level.lost,
        "against_ns": {view: tested and tested_json(tested) for view, tested in level.against_ns.items()},
        "operating_points": [_point_json(point) for point in level.operating_points],
        "risk_coverage": {"vote": level.curve_vote, "confidence": level.curve_confidence},
        "verdict": level.verdict,
    }


def _point_json(point: OperatingPoint) -> dict[str, Any]:
    rival = None
    if point.rival and point.against_rival:
        rival = rate_json("accuracy", point.rival) | tested_json(point.against_rival)
    coverage = point.coverage and point.coverage.value
    return {"name": point.name, "coverage": coverage, **rate_json("accuracy", point.accuracy), "rival": rival}


def rate_json(name: str, share: Rate | None) -> dict[str, Any]:
    """A rate under its name, with its interval and its counts; null where it is of nothing."""
    return {
        name: share and share.value,
        f"{name}_ci": share and [share.low, share.high],
        f"{name}_count": share and [share.hits, share.of],
    }


def tested_json(tested: Tested) -> dict[str, Any]:
    """A paired difference and its test as plain data."""
    pair = tested.pair
    return {
        "only_first": pair.only_first,
        "only_second": pair.only_second,
        "of": pair.of,
        "difference": pair.difference,
        "difference_ci": [pair.low, pair.high],
        "p": pair.p,
        "p_holm": tested.p_holm,
    }


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
        rates = [_with_ends(level.rate(name)) for name in shown]
        table.add_row(f"{level.sigma:g}", str(level.expected), *counts, *rates)
    said = [render(table, above=headline(report), below=legend(report))]
    for title, head, rows, below in _tests(report):
        table = Table()
        for name in head:
            table.add_column(name, justify="left" if name == "accepted" else "right")
        for row in rows:
            table.add_row(*row)
        said.append(render(table, above=title, below=below))
    return "\n\n".join([*said, "\n".join(textwrap.wrap(verdict(report), 120))])


def legend(report: Report) -> str:
    """What the columns of the report's rates mean."""
    interval = f"After each rate: its {CONFIDENCE:.0%} {INTERVAL_NAMES[report.interval]} interval."
    if not _labelled(report):
        return f"Of three views, unsmoothed (NS), smoothed once (SS) and twice (DS). Reject: no two agree. {interval}"
    return (
        "NS, SS, DS: the image unsmoothed, smoothed once, twice. Acc Maj: right among the accepted; "
        f"overall: right among all, a reject counting as wrong. {interval}"
    )


PAIRS_TITLE = "Against no smoothing: the same images, answered twice"
POINTS_TITLE = "Against rejecting by softmax: as many images accepted, those of which NS is most confident (the rival)"
PAIRS_LEGEND = (
    "Saved: NS wrong, the vote right; lost: NS right, the vote wrong or rejecting. Differences: of the shares that are right, "
    f"with Newcombe's {CONFIDENCE:.0%} interval of pairs. p: McNemar's exact test, adjusted for the levels (Holm)."
)
POINTS_LEGEND = (
    "Accepted: where so many views agree; always: where none agree, NS decides. Difference: accepted and right, vote less rival, of "
    "all images; interval and p as above."
)


def _tests(report: Report) -> list[tuple[str, list[str], list[list[str]], str]]:
    """Title, head, rows and legend of each table of tests; none where nothing is labelled."""
    if not _labelled(report):
        return []
    pairs = [
        [f"{level.sigma:g}", f"{level.saved}", f"{level.lost}"]
        + [cell for tested in level.against_ns.values() for cell in _pair_cells(tested)]
        for level in report.levels
        if level.labelled
    ]
    points = [
        [f"{level.sigma:g}", POINT_NAMES[point.name]]
        + [_with_ends(share) for share in (point.coverage, point.accuracy, point.rival)]
        + [*_pair_cells(point.against_rival)]
        for level in report.levels
        if level.labelled
        for point in level.operating_points
    ]
    pairs_head = ["σ", "saved", "lost", *(cell for name in OTHER_NAMES.values() for cell in (name, "p"))]
    points_head = ["σ", "accepted", "coverage", "accuracy", "rival", "difference", "p"]
    return [(PAIRS_TITLE, pairs_head, pairs, PAIRS_LEGEND), (POINTS_TITLE, points_head, points, POINTS_LEGEND)]


def _pair_cells(tested: Tested | None) -> tuple[str, str]:
    if tested is None:
        return "–", "–"
    pair = tested.pair
    return f"{pair.difference:+.4f} {pair.low:+.3f} to {pair.high:+.3f}", p_value(tested.p_holm)


def p_value(p: float) -> str:
    """A p-value as papers print it."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def plain(text: str) -> str:
    """Text from outside without control characters: a file's name must not speak to the terminal."""
    return text.translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")


def render(table: Table, *, above: str = "", below: str = "") -> str:
    """A table as text, in the terminal's colours if stdout is one, and never cut to its width.

    Args:
        table: what to show.
        above: a line over it, never broken.
        below: a text under it, broken at the table's width.
    """
    # A pipe has no width, and rich would assume 80 columns. Names come from outside: they are text, never markup.
    needed = Console(width=10_000, markup=False).measure(table).maximum
    console = Console(width=max(needed, Console().width), markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = [above] if above else []
    lines += (line.rstrip() for line in captured.get().rstrip().splitlines())
    return "\n".join([*lines, *textwrap.wrap(below, max(needed, 80))])


def _shown_counts(report: Report) -> list[str]:
    # Predicted always; the others only where there is something to say.
    others = [name for name in ("failed", "skipped", "pending") if any(getattr(level, name) for level in report.levels)]
    unlabelled = any(level.labelled != level.predicted for level in report.levels)
    return ["predicted", *(["labelled"] if unlabelled else []), *others]


def _labelled(report: Report) -> bool:
    return any(level.labelled for level in report.levels) or not any(level.predicted for level in report.levels)


def _shown_rates(report: Report) -> Sequence[str]:
    return SHOWN if _labelled(report) else SHOWN_UNLABELLED


def _with_ends(share: Rate | None) -> str:
    return f"{share.value:.4f} {_short(share.low)}–{_short(share.high)}" if share else "–"


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def _csv(report: Report) -> str:
    rows = []
    for level in report.levels:
        row: dict[str, Any] = {"sigma": level.sigma} | {name: getattr(level, name) for name in COUNTS}
        for name in RATES:
            share = level.rate(name)
            row |= {
                name: share and share.value,
                f"{name}_low": share and share.low,
                f"{name}_high": share and share.high,
            }
        rows.append(row | _tests_csv(level))
    return to_csv(list(rows[0]), rows)


def _tests_csv(level: Level) -> dict[str, Any]:
    row: dict[str, Any] = {"saved": level.saved, "lost": level.lost}
    for view, tested in level.against_ns.items():
        row |= _pair_csv(f"{view}_less_ns", tested)
    for point in level.operating_points:
        row |= {
            f"{point.name}_coverage": point.coverage and point.coverage.value,
            f"{point.name}_accuracy": point.accuracy and point.accuracy.value,
            f"{point.name}_rival_accuracy": point.rival and point.rival.value,
        }
        row |= _pair_csv(f"{point.name}_less_rival", point.against_rival)
    return row | {"verdict": level.verdict}


def _pair_csv(name: str, tested: Tested | None) -> dict[str, Any]:
    pair = tested and tested.pair
    return {
        name: pair and pair.difference,
        f"{name}_low": pair and pair.low,
        f"{name}_high": pair and pair.high,
        f"{name}_p": pair and pair.p,
        f"{name}_p_holm": tested and tested.p_holm,
    }


def to_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV under a header; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _markdown(report: Report) -> str:
    head = ["σ", *COUNTS, *(TITLES[name] for name in RATES)]
    rows = [
        [f"{level.sigma:g}", *(str(getattr(level, name)) for name in COUNTS)]
        + [_with_interval(level.rate(name)) for name in RATES]
        for level in report.levels
    ]
    said = [f"**{headline(report)}**", "", *markdown(head, rows, legend(report))]
    for title, columns, cells, below in _tests(report):
        said += ["", *markdown(columns, cells, f"{title}. {below}")]
    return "\n".join([*said, "", verdict(report)])


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> list[str]:
    """Lines of a Markdown table with its caption."""
    return [_row(head), _row(["---:"] * len(head)), *(_row(row) for row in rows), "", f"Table: {caption}"]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _with_interval(share: Rate | None) -> str:
    return f"{share.value:.4f} [{share.low:.3f}, {share.high:.3f}]" if share else "–"


_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "σ": r"$\sigma$",
        "−": "$-$",
        "<": "$<$",
        "–": "--",
        "×": r"$\times$",
    }
)


def _latex(report: Report) -> str:
    shown = _shown_rates(report)
    head = ["σ", "n", *(TITLES[name] for name in shown)]
    rows = [
        [f"{level.sigma:g}", str(level.predicted), *(_with_interval(level.rate(name)) for name in shown)]
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


def latex(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> list[str]:
    """Lines of a LaTeX table with its caption, in the manner of booktabs."""
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in (head, *rows)]
    return [
        r"\begin{table}",
        rf"\caption{{{caption.translate(_LATEX)}}}",
        r"\begin{tabular}{" + "r" * len(head) + "}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def format_images(found: Iterable[ImageOutcome], form: str, names: dict[int, str]) -> Iterable[str]:
    """Images line by line, as table, csv or jsonl; ``names`` gives labels their class names."""
    columns = [field.name for field in fields(ImageOutcome)]
    if form == "jsonl":
        return (json.dumps({name: getattr(image, name) for name in columns}, ensure_ascii=False) for image in found)
    if form == "csv":
        return iter([to_csv(columns, ({name: getattr(image, name) for name in columns} for image in found))])
    table = Table("image", "σ", "outcome", "true", "vote", "ns", "ss", "ds")

    def named(label: int | None, confidence: float | None = None) -> str:
        share = "" if confidence is None else f" {confidence:.2f}"
        return "" if label is None else names.get(label, str(label)) + share

    for image in found:
        sigma = "" if image.sigma is None else f"{image.sigma:g}"
        if image.code:
            table.add_row(
                plain(image.path), sigma, image.outcome, named(image.label), "", plain(f"{image.code}: {image.message}")
            )
            continue
        views = (
            named(image.label_ns, image.confidence_ns),
            named(image.label_ss, image.confidence_ss),
            named(image.label_ds, image.confidence_ds),
        )
        table.add_row(plain(image.path), sigma, image.outcome, named(image.label), named(image.label_maj), *views)
    return iter([render(table)])


def format_comparison(report: Report) -> str:
    """Ours beside the article's published table: of each cell our value, theirs, and the difference."""
    run, same = report.run, report.run.recipe.model == article.MODEL
    model = "the article's model" if same else f"ANOTHER MODEL than the article's {article.MODEL}"
    below = (
        f"Published: {article.IMAGES} photographs, one a class; ours: {run.expected} of {run.dataset}. {model}. "
        "In each cell ours, published, difference; * where the published value lies outside of our interval."
    )
    table = Table()
    for name in ("sigma", *article.COLUMNS):
        table.add_column(TITLES[name], justify="right")
    for level in report.levels:
        published = article.TABLE[level.sigma]
        cells = (_against(level.rate(name), value) for name, value in zip(article.COLUMNS, published, strict=True))
        table.add_row(f"{level.sigma:g}", *cells)
    return render(table, above=headline(report), below=below)


def _against(share: Rate | None, published: float) -> str:
    if share is None:
        return f"– {published:.4f}"
    mark = " " if share.low <= published <= share.high else "*"
    return f"{share.value:.4f} {published:.4f} {share.value - published:+.4f}{mark}"
