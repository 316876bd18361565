"""The commands that steer a run that was submitted: cancel, pause, resume, and how urgent it is."""

from typing import TYPE_CHECKING

import click

from cli.dataset import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from db.runs import RunInfo


@click.command()
@click.argument("run")
def cancel(run: str) -> None:
    """Cancel RUN. Its results stay; submitting it again resumes it."""
    from db.store import cancel as cancel_run

    found = _tell(run, lambda session, found: cancel_run(session, found.id))
    click.echo(f"cancelled {found.id} {found.name}", err=True)


@click.command()
@click.argument("run")
def pause(run: str) -> None:
    """Send no more jobs of RUN until `resume`. Workers finish those that they have."""
    from db.control import pause as pause_run

    found = _tell(run, lambda session, found: pause_run(session, found.id))
    click.echo(f"paused {found.id} {found.name}; smoothvote resume {found.id} ends the pause", err=True)


@click.command()
@click.argument("run")
def resume(run: str) -> None:
    """End the pause of RUN. So does submitting it again."""
    from db.control import resume as resume_run

    found = _tell(run, lambda session, found: resume_run(session, found.id))
    said = "; it is cancelled: submit it again" if found.cancelled_at else ""
    click.echo(f"resumed {found.id} {found.name}{said}", err=True)


@click.command()
@click.argument("run")
@click.argument("priority", type=PRIORITIES)
def priority(run: str, priority: int) -> None:
    """Set the PRIORITY of RUN: higher ones are served first.

    0 is usual. Below 0 needs two dashes before it: `smoothvote priority RUN -- -5`.
    """
    from db.control import prioritise

    found = _tell(run, lambda session, found: prioritise(session, found.id, priority))
    click.echo(f"{found.id} {found.name} has priority {priority}", err=True)


def _tell(run: str, what: "Callable[[Session, RunInfo], None]") -> "RunInfo":
    """Finds a run and changes it, in one transaction; gives the run as it was before."""
    from db.runs import find_run
    from db.session import connect, writing
    from db.settings import load_settings

    with writing(connect(load_settings())) as session:
        found = find_run(session, run)
        what(session, found)
    return found


VERBS = (cancel, pause, resume, priority)
