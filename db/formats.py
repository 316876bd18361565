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
from db.report import COUNTS, RATES, Level, Report
from db.stats import CONFIDENCE, Rate

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
}
LEGEND = (
    "NS, SS, DS: the image unsmoothed, smoothed once, twice. Acc Maj: right among the accepted; "
    "overall: right among all, a reject counting as wrong. "
    f"After each rate: its {CONFIDENCE:.0%} Wilson interval."
)


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
        "levels": [_level_json(level) for level in report.levels],
    }


def _level_json(level: Level) -> dict[str, Any]:
    values: dict[str, Any] = {"sigma": level.sigma} | {name: getattr(level, name) for name in COUNTS}
    for name in RATES:
        share = level.rate(name)
        values[name] = share and share.value
        values[f"{name}_ci"] = share and [share.low, share.high]
        values[f"{name}_count"] = [share.hits, share.of] if share else None
    return values


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
    for title in ("σ", "images", *(f"{name}" for name in _shown_counts(report))):
        table.add_column(title, justify="right")
    for name in RATES[:-1]:
        table.add_column(TITLES[name], justify="right")
    for level in report.levels:
        counts = [str(getattr(level, name)) for name in _shown_counts(report)]
        rates = [_with_ends(level.rate(name)) for name in RATES[:-1]]
        table.add_row(f"{level.sigma:g}", str(level.expected), *counts, *rates)
    return render(table, above=headline(report), below=LEGEND)


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
        rows.append(row)
    return to_csv(list(rows[0]), rows)


def to_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV under a header; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


def _markdown(report: Report) -> str:
    head = ["σ", *COUNTS, *(TITLES[name] for name in RATES)]
    lines = [f"**{headline(report)}**", "", _row(head), _row(["---:"] * len(head))]
    for level in report.levels:
        counts = [str(getattr(level, name)) for name in COUNTS]
        lines.append(_row([f"{level.sigma:g}", *counts, *(_with_interval(level.rate(name)) for name in RATES)]))
    return "\n".join([*lines, "", f"Brackets: {CONFIDENCE:.0%} Wilson interval. Acc Maj is over the accepted."])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _with_interval(share: Rate | None) -> str:
    return f"{share.value:.4f} [{share.low:.3f}, {share.high:.3f}]" if share else "–"


_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "σ": r"$\sigma$"}
)


def _latex(report: Report) -> str:
    shown = RATES[:-1]
    lines = [
        f"% {headline(report)}",
        r"\begin{tabular}{r" + "r" * (len(shown) + 1) + "}",
        r"\toprule",
        r"$\sigma$ & $n$ & " + " & ".join(TITLES[name].translate(_LATEX) for name in shown) + r" \\",
        r"\midrule",
    ]
    for level in report.levels:
        cells = [
            f"{share.value:.4f} [{share.low:.3f}, {share.high:.3f}]" if (share := level.rate(name)) else "--"
            for name in shown
        ]
        lines.append(" & ".join([f"{level.sigma:g}", str(level.predicted), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


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
