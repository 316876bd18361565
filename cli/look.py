"""The commands that show what was found: of a run as a whole, of two runs, of its images, and for other programs."""

from pathlib import Path
from typing import Any

import click

from db.errors import INCOMPLETE
from report.stats import INTERVALS

FORMATS = click.Choice(["table", "csv", "json", "markdown", "latex"])

interval_flag = click.option(
    "--interval",
    type=click.Choice(INTERVALS),
    default="wilson",
    show_default=True,
    help="Of the rates: the usual, or the exact, which is longer.",
)
#: How a report is shown, by every command that ends in one.
REPORT_FLAGS = (
    click.option("--format", "form", type=FORMATS, default="table", show_default=True, help="What to print."),
    interval_flag,
    click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw the rates against noise: .png, .svg or .pdf."),
    click.option("--risk-coverage", type=click.Path(path_type=Path), metavar="FILE", help="Also draw risk against coverage, the vote's and its rival's."),
)  # fmt: skip


def report_flags(command: Any) -> Any:
    """Gives a command the flags of a report."""
    for flag in reversed(REPORT_FLAGS):
        command = flag(command)
    return command


def check_plots(**files: Path | None) -> None:
    """Says before the work, not after it, that a picture cannot be written there."""
    for flag, file in files.items():
        if file:
            from report.plots.rates import check_plot_file

            check_plot_file(file, flag.replace("_", "-"))


@click.command()
@click.argument("run", default="latest")
@report_flags
def report(run: str, form: str, interval: Any, plot: Path | None, risk_coverage: Path | None) -> None:
    """Accuracy and reject rate of RUN at each noise level, and whether the vote pays.

    RUN is an id, the beginning of one, a name, or `latest`. Ends with 3 while the run is incomplete.
    """
    show_report(run, form, interval=interval, plot=plot, risk_coverage=risk_coverage)


def show_report(
    run: str, form: str, *, interval: Any = "wilson", plot: Path | None = None, risk_coverage: Path | None = None
) -> None:
    """Prints a report; ends with INCOMPLETE if it is."""
    from db.session import connect
    from db.settings import load_settings
    from report.report import read_report
    from report.report_text import format_report

    check_plots(plot=plot, risk_coverage=risk_coverage)
    found = read_report(connect(load_settings()), run, interval=interval)
    click.echo(format_report(found, form))
    if plot or risk_coverage:
        from report.plots.rates import plot_report, plot_risk_coverage

        for draw, file in ((plot_report, plot), (plot_risk_coverage, risk_coverage)):
            if file:
                draw(found, file)
                click.echo(f"wrote {file}", err=True)
    if failed := max(level.failed for level in found.levels):
        click.echo(f"{failed} images failed: smoothvote images {found.run.id} --outcome failed", err=True)
    if not found.complete:
        raise SystemExit(INCOMPLETE)


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--format", "form", type=FORMATS, default="table", show_default=True, help="What to print.")
@interval_flag
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also draw the differences against noise: .png, .svg or .pdf.",
)
def compare(first: str, second: str, form: str, interval: Any, plot: Path | None) -> None:  # fmt: skip
    """Hold two runs over the same images against each other: models, kernels, recipes.

    FIRST and SECOND are ids, beginnings of them, or names. Ends with 3 while one of them is incomplete.
    """
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.comparison import compare as compare_runs
    from report.comparison_text import format_comparison_of_runs

    check_plots(plot=plot)
    with reading(connect(load_settings())) as session:
        found = compare_runs(session, find_run(session, first), find_run(session, second), interval=interval)
    click.echo(format_comparison_of_runs(found, form))
    if plot:
        from report.plots.differences import plot_comparison

        plot_comparison(found, plot)
        click.echo(f"wrote {plot}", err=True)
    if not found.complete:
        click.echo("incomplete: only images that both runs predicted are compared", err=True)
        raise SystemExit(INCOMPLETE)


@click.command()
@click.argument("run", default="latest")
@click.option("--level", type=float, metavar="σ", help="Of one noise level only.")
@click.option(
    "--outcome",
    type=click.Choice(["right", "wrong", "rejected", "unlabelled", "failed", "skipped", "saved", "lost"]),
    help="Of the vote; saved: right though ns is wrong; lost: wrong or rejected though ns is right.",
)
@click.option("--class", "true_class", metavar="NAME|INDEX", help="Of one true class only.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="So many at most.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl"]),
    default="table",
    show_default=True,
    help="What to print.",
)
def images(run: str, level: float | None, outcome: Any, true_class: str | None, limit: int | None, form: str) -> None:
    """List the images behind a rate of RUN: by noise level, outcome and true class."""
    from db.classes import class_names
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.listing import format_images
    from report.outcomes import class_index
    from report.outcomes import images as read_images

    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        label = None if true_class is None else class_index(found.recipe, true_class)
        listed = read_images(session, found, level=level, outcome=outcome, label=label, limit=limit)
        for line in format_images(listed, form, found.recipe, class_names(found.recipe)):
            click.echo(line)


@click.command()
@click.argument("run", default="latest")
@click.option(
    "--what",
    type=click.Choice(["rows", "summary"]),
    default="rows",
    show_default=True,
    help="A row an image and level, or a row a level.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    help="What to write.  [default: from FILE's ending, else csv]",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Instead of stdout.")
def export(run: str, what: Any, form: Any, output: Path | None) -> None:
    """Write RUN for other programs: what was found for each image, or the report's figures.

    docs/reference/python.md has the columns. A file appears when it is whole. Ends with 3 while RUN is incomplete.
    """
    import sys

    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings
    from report.export import form_of, whole_file, write_run

    form = form_of(form, output)
    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        pending = found.expected - progress(session, found).done
        if output is None:
            write_run(session, found, what, form, sys.stdout.buffer)
            sys.stdout.flush()
        else:
            with whole_file(output) as file:
                count = write_run(session, found, what, form, file)
            click.echo(f"wrote {count} rows to {output}", err=True)
    if pending:
        click.echo(f"INCOMPLETE: {pending} of {found.expected} images are pending", err=True)
        raise SystemExit(INCOMPLETE)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON, one run a line.")
def runs(as_json: bool) -> None:
    """List the runs, newest first."""
    import json

    from rich.table import Table

    from db.runs import list_runs, progress
    from db.session import connect, reading
    from db.settings import load_settings
    from report.text import render

    with reading(connect(load_settings())) as session:
        found = [(run, progress(session, run)) for run in list_runs(session)]
    if as_json:
        for run, state in found:
            row: dict[str, Any] = {"id": run.id, "name": run.name, "model": run.recipe.model, "dataset": run.dataset}
            row |= {"expected": state.expected, "done": state.done, "failed": state.failed, "skipped": state.skipped}
            click.echo(json.dumps(row | {"complete": state.complete, "cancelled": state.cancelled}))
        return
    if not found:
        click.echo("no run is recorded yet: begin with `smoothvote run IMAGES`", err=True)
        return
    table = Table("run", "name", "model", "dataset", "images", "done", "failed", "submitted")
    for run, state in found:
        share = f"{state.done / max(state.expected, 1):.0%}{' cancelled' if state.cancelled else ''}"
        created = f"{run.created_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(
            run.id, run.name, run.recipe.model, run.dataset, str(run.expected), share, str(state.failed), created
        )
    click.echo(render(table))


@click.command()
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def status(run: str, as_json: bool) -> None:
    """How far RUN has come, and what its jobs wait for."""
    import json
    from dataclasses import asdict

    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings

    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        state = progress(session, found)
    if as_json:
        click.echo(json.dumps({"id": found.id, "name": found.name, **asdict(state), "complete": state.complete}))
    else:
        word = "complete" if state.complete else "cancelled" if state.cancelled else "open"
        click.echo(
            f"{found.id} {found.name}: {word}, {state.done} of {state.expected} images done ({state.failed} failed, {state.skipped} skipped)"
        )
        if state.note and not state.complete:
            click.echo(f"waits: {state.refused_by}: {state.note}")
    raise SystemExit(0 if state.complete else INCOMPLETE)


VERBS = (report, compare, images, export, runs, status)
