"""The commands that look at the record. None needs a queue or a GPU."""

from typing import Any

import click

from db.errors import INCOMPLETE
from db.results import compare, export, images, report


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON, one run a line.")
def runs(as_json: bool) -> None:
    """List the runs, newest first."""
    import json

    from rich.table import Table

    from db.runs import list_runs, progress
    from db.session import connect, reading
    from db.settings import load_settings
    from db.text import render

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


@click.command()
@click.argument("run")
def cancel(run: str) -> None:
    """Stop RUN. What was found stays; submitting it again resumes it."""
    from db.runs import find_run
    from db.session import connect, reading, writing
    from db.settings import load_settings
    from db.store import cancel as cancel_run

    engine = connect(load_settings())
    with reading(engine) as session:
        found = find_run(session, run)
    with writing(engine) as session:
        cancel_run(session, found.id)
    click.echo(f"cancelled {found.id} {found.name}", err=True)


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to this version's tables. Run it once before the workers of a new version."""
    from db.errors import WrongUse
    from db.migrations import upgrade as migrate
    from db.session import current_revision, open_engine, shown
    from db.settings import load_settings
    from db.tables import REVISION

    settings = load_settings()
    if settings.embedded_database:
        settings.home.mkdir(parents=True, exist_ok=True)
    engine = open_engine(settings)
    before = current_revision(engine)
    if (before or "") > REVISION:
        raise WrongUse(
            f"the database is at revision {before}, newer than this code's {REVISION}: install the newer smoothvote"
        )
    migrate(engine)
    click.echo(f"{shown(engine)}: {before or 'empty'} → {current_revision(engine)}", err=True)


VERBS = (report, compare, images, export, runs, status, cancel, db)
