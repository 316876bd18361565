"""The commands that show what was found: of a run as a whole, of two runs, of its images, and for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.choice import NO_CHOICE, Choice, choice_flags
from cli.output import Output, output_flags
from db.errors import INCOMPLETE
from db.found import CHANGES, OUTCOMES
from db.numbers import number
from report.exports import EXPORTS
from report.plots import Of
from report.screen import screen

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.runs import RunInfo


@click.command()
@click.argument("run", default="latest")
@output_flags("report", "certified")
@choice_flags
def report(run: str, output: Output, choice: Choice) -> None:
    """Say what RUN found: the answer in words, and its rates.

    The answer is whether the vote pays, or what is certified; the rates are of each level.

    RUN is an id, the beginning of one, a name, or `latest`. Ends with 3 while the run is incomplete.
    """
    show_report(run, output, choice)


def show_report(run: str, output: Output, choice: Choice = NO_CHOICE) -> None:
    """Prints the report of a run of votes or of certificates; ends with INCOMPLETE if it is.

    Raises:
        WrongUse: if there is no such run, or for α, n or plots that it does not have.
    """
    from db.runs import find_run, has_labels
    from db.session import connect, reading
    from db.settings import load_settings
    from report.certified import Certified, certified
    from report.documents import certified as certificates
    from report.documents import report as votes
    from report.report import Report, read_report

    found: Certified | Report
    engine = connect(load_settings())
    with reading(engine) as session:
        info = find_run(session, run)
        given = choice.of(info)
        kind: Of = "certified" if info.recipe.certifies else "report"
        output.check(kind, labelled=has_labels(session, info))
        if info.recipe.certifies:
            found = certified(session, info, **given, interval=output.interval)
            shown = certificates.document(found)
    if not info.recipe.certifies:
        found = read_report(engine, info.id, interval=output.interval)
        shown = votes.document(found)
    output.show(shown)
    output.draw(kind, found)
    if failed := max(level.failed for level in found.levels):
        said = f"{failed} image{'s' * (failed > 1)} failed: smoothvote images {info.id} --outcome failed"
        click.echo(screen(err=True).line(said), err=True)
    if not found.complete:
        raise SystemExit(INCOMPLETE)


@click.command()
@click.argument("first")
@click.argument("second")
@output_flags("comparison", "certified-comparison")
@choice_flags
def compare(first: str, second: str, output: Output, choice: Choice) -> None:
    """Compare two runs over the same images: models, kernels, recipes.

    Both must have votes, or both certificates. FIRST and SECOND are ids, beginnings of them, or names. Ends with 3
    while one of them is incomplete.
    """
    from db.runs import find_run, has_labels
    from db.session import connect, reading
    from db.settings import load_settings
    from report.certified_comparison import CertifiedComparison, compare_certified
    from report.comparison import Comparison
    from report.comparison import compare as compare_votes
    from report.documents import certified_comparison as certificates
    from report.documents import comparison as votes

    found: CertifiedComparison | Comparison
    with reading(connect(load_settings())) as session:
        runs = find_run(session, first), find_run(session, second)
        given = choice.of(*runs)
        certify = any(run.recipe.certifies for run in runs)
        kind: Of = "certified-comparison" if certify else "comparison"
        output.check(kind, labelled=has_labels(session, runs[0]))
        if certify:
            found = compare_certified(session, *runs, **given, interval=output.interval)
            shown = certificates.document(found)
        else:
            found = compare_votes(session, *runs, interval=output.interval)
            shown = votes.document(found)
    output.show(shown)
    output.draw(kind, found)
    if not found.complete:
        said = "incomplete: only images that both runs predicted are compared"
        click.echo(screen(err=True).line(said), err=True)
        raise SystemExit(INCOMPLETE)


class Level(click.ParamType[float]):
    """A number, or a fraction such as 4/255."""

    name = "level"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parses the text of a flag, as click asks of a parameter's type."""
        try:
            return number(str(value))
        except ValueError:
            self.fail(f"{value!r} is no level, as 0.25 or 4/255", param, ctx)


#: Formats that rows are printed in, line by line.
LINES = [export.name for export in EXPORTS.values() if export.text]


@click.command()
@click.argument("run", default="latest")
@click.option("--level", type=Level(), help="Only at this level; fractions such as 4/255 are read.")
@click.option(
    "--outcome",
    type=click.Choice([*OUTCOMES, "abstained", *CHANGES]),
    help="What became of the image; saved: the vote is right where NS is wrong; lost: wrong or rejecting where NS is right. Certificates have abstained in place of rejected, saved and lost.",
)
@click.option("--class", "true_class", metavar="NAME|INDEX", help="Only of this true class.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option(
    "--format", "form", type=click.Choice(["table", *LINES]), default="table", show_default=True, help="What to print."
)
@choice_flags
def images(run: str, level: float | None, outcome: str | None, true_class: str | None, limit: int | None, form: str,
           choice: Choice) -> None:  # fmt: skip
    """List the images behind a rate of RUN.

    A rate is that of a level, an outcome, a true class, or of several of these together.
    """
    import sys

    from db.classes import class_names
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.certified_images import TYPES, certified_images
    from report.documents import certified_images as certificates
    from report.documents import images as votes
    from report.formats import as_text
    from report.images import LISTED, class_index, image_pages
    from report.rows import as_written, written_types

    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        given = choice.of(found)
        label = None if true_class is None else class_index(found.recipe, true_class)
        wanted: dict[str, Any] = {"level": level, "outcome": outcome, "label": label, "limit": limit}
        if found.recipe.certifies:
            pages, document = certified_images(session, found, **given, **wanted), certificates.document
            written, types = pages, TYPES
        else:
            pages, document = image_pages(session, found, **wanted), votes.document
            written, types = as_written(pages, found.recipe), written_types(found.recipe, LISTED)
        if form == "table":
            click.echo(as_text(document(pages, found.axis, class_names(found.recipe)), screen=screen()))
        else:
            EXPORTS[form].write(written, types, sys.stdout.buffer)
            sys.stdout.flush()


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
    type=click.Choice(list(EXPORTS)),
    help="What to write.  [default: from FILE's ending, else csv]",
)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Instead of stdout.")
@choice_flags
def export(run: str, what: Any, form: str | None, output: Path | None, choice: Choice) -> None:
    """Write RUN for other programs.

    Writes what was found for each image, or the report's figures.
    docs/reference/python.md has the columns. A file appears when it is whole. Ends with 3 while RUN is incomplete.
    """
    import sys

    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from report.export import form_of, whole_file, write_run

    written = form_of(form, output)
    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        given = choice.of(found)
        pending = _pending(session, found, choice.n)
        if output is None:
            write_run(session, found, what, written, sys.stdout.buffer, **given)
            sys.stdout.flush()
        else:
            with whole_file(output) as file:
                count = write_run(session, found, what, written, file, **given)
            click.echo(f"wrote {count} rows to {output}", err=True)
    if pending:
        click.echo(f"INCOMPLETE: {pending} of {found.expected} images are pending", err=True)
        raise SystemExit(INCOMPLETE)


def _pending(session: "Session", run: "RunInfo", n: int | None) -> int:
    """How many images of a run are pending, as its report says; of certificates, at this n."""
    from db.runs import progress
    from report.counts import asked
    from report.pending import pending

    if run.recipe.certifies:
        return pending(session, run, asked(run) if n is None else n)
    return run.expected - progress(session, run).done


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON, one run a line.")
def runs(as_json: bool) -> None:
    """List the runs, newest first."""
    import json

    from db.runs import list_runs, progress
    from db.session import connect, reading
    from db.settings import load_settings
    from report.documents.runs import document
    from report.formats import as_text

    with reading(connect(load_settings())) as session:
        shown = document([(run, progress(session, run)) for run in list_runs(session)])
    if as_json:
        for row in shown.data:
            click.echo(json.dumps(row))
    elif shown.data:
        click.echo(as_text(shown, screen=screen()))
    else:
        click.echo("no run is recorded yet: begin with `smoothvote run IMAGES`", err=True)


@click.command()
@click.argument("run", default="latest")
@click.option("--json", "as_json", is_flag=True, help="JSON.")
def status(run: str, as_json: bool) -> None:
    """Say how far RUN has come, and what its jobs wait for."""
    import json
    from dataclasses import asdict

    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings

    with reading(connect(load_settings())) as session:
        found = find_run(session, run)
        state = progress(session, found)
    if as_json:
        told = {"id": found.id, "name": found.name, "priority": found.priority}
        click.echo(json.dumps(told | asdict(state) | {"complete": state.complete}))
    else:
        counts = f"{state.done} of {state.expected} images done ({state.failed} failed, {state.skipped} skipped)"
        if found.recipe.certifies:
            counts += f", {state.done_copies} of {state.expected * state.copies} copies"
        if found.priority:
            counts += f", priority {found.priority}"
        click.echo(screen().line(f"{found.id} {found.name}: {state.word}, {counts}"))
        if state.note and not state.complete:
            click.echo(screen().line(f"waits: {state.refused_by}: {state.note}"))
    raise SystemExit(0 if state.complete else INCOMPLETE)


VERBS = (report, compare, images, export, runs, status)
