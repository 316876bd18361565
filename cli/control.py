"""The commands that steer a run that was submitted: how urgent it is, what is done again, and when it ends."""

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


@click.command()
@click.argument("run")
@click.option("--code", required=True, metavar="CODE", help="Images that failed with this code.")
def retry(run: str, code: str) -> None:
    """Compute failures of RUN again, those with one code.

    What was found for other images stays. `smoothvote images RUN --outcome failed` lists failures and their codes.
    """
    from db.errors import WrongUse
    from db.retry import codes
    from db.retry import retry as retry_images
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings

    engine = connect(load_settings())
    with reading(engine) as session:
        found = find_run(session, run)
        known = codes(session, found.id)
    if code not in known:
        there = ", ".join(f"{name} ({count})" for name, count in known.items()) or "none"
        raise WrongUse(f"--code {code}: no image of run {found.id} failed with it; codes that there are: {there}")
    images = retry_images(engine, found.id, code)
    goes_on = "it is cancelled: submit it again" if found.cancelled_at else f"smoothvote watch {found.id}"
    click.echo(f"{images} images of {found.id} {found.name} are pending again; {goes_on}", err=True)


@click.command()
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(run: str, yes: bool) -> None:
    """Delete RUN and all that was found for it.

    The record of its images goes, too, if no other run has them. Files are not touched. A run that is not complete must
    be cancelled first.
    """
    import sys

    from db.errors import WrongUse
    from db.removal import remove
    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings

    engine = connect(load_settings())
    with reading(engine) as session:
        found = find_run(session, run)
        state = progress(session, found)
    if not state.complete and not state.cancelled:
        raise WrongUse(
            f"run {found.id} is {state.word}: smoothvote cancel {found.id} first, or wait until it is complete"
        )
    if not yes:
        if not sys.stdin.isatty():
            raise WrongUse(f"this deletes run {found.id} {found.name} for ever: add --yes if that is meant")
        click.confirm(f"Delete run {found.id} {found.name}, {state.done} images done, for ever?", abort=True, err=True)
    remove(engine, found.id)
    click.echo(f"deleted {found.id} {found.name}", err=True)


def _tell(run: str, what: "Callable[[Session, RunInfo], None]") -> "RunInfo":
    """Finds a run and changes it, in one transaction; gives the run as it was before."""
    from db.runs import find_run
    from db.session import connect, writing
    from db.settings import load_settings

    with writing(connect(load_settings())) as session:
        found = find_run(session, run)
        what(session, found)
    return found


VERBS = (cancel, pause, resume, priority, retry, rm)
