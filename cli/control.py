"""The commands that steer a run that was submitted: how urgent it is, what is done again, and when it ends."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cli.dataset import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from db.runs import Progress, RunInfo


@click.command()
@click.argument("run")
def cancel(run: str) -> None:
    """Cancel RUN. Its results stay; submitting it again resumes it."""
    from db.control import cancel as cancel_run

    with _told(run) as (session, found, state):
        if state.word == "cancelled":
            said = f"{_named(found)} is cancelled already; submitting it again resumes it"
        elif state.complete:
            said = f"{_named(found)} is complete: there is nothing to cancel"
        else:
            cancel_run(session, found.id)
            said = f"cancelled {_named(found)}; submitting it again resumes it"
    click.echo(said, err=True)


@click.command()
@click.argument("run")
def pause(run: str) -> None:
    """Send no more jobs of RUN until `resume`. Workers finish those that they have."""
    from db.control import pause as pause_run

    with _told(run) as (session, found, state):
        _refuse_cancelled(found, state, "pause")
        said = f"{_named(found)} is complete: there is nothing to pause"
        if not state.complete:
            pause_run(session, found.id)
            now = f"{_named(found)} is paused already" if state.paused else f"paused {_named(found)}"
            said = f"{now}; smoothvote resume {found.id} ends the pause"
    click.echo(said, err=True)


@click.command()
@click.argument("run")
def resume(run: str) -> None:
    """End the pause of RUN. So does submitting it again."""
    from db.control import resume as resume_run

    with _told(run) as (session, found, state):
        _refuse_cancelled(found, state, "resume")
        said = f"{_named(found)} is {state.word}: there is no pause to end"
        if state.paused:
            resume_run(session, found.id)
            said = f"resumed {_named(found)}; {_goes_on(found)}"
    click.echo(said, err=True)


@click.command(context_settings={"ignore_unknown_options": True})  # so that -5 is a number, and no option
@click.argument("run")
@click.argument("priority", type=PRIORITIES)
def priority(run: str, priority: int) -> None:
    """Set the PRIORITY of RUN: higher ones are served first.

    0 is usual; it can be below 0, too. Jobs that are on the queue already keep their place.
    """
    from db.control import prioritise

    with _told(run) as (session, found, state):
        prioritise(session, found.id, priority)
    but = "" if state.word == "open" else f"; it is {state.word}, and the priority counts once it has jobs to send"
    click.echo(f"{_named(found)} has priority {priority}{but}", err=True)


@click.command()
@click.argument("run")
@click.option("--code", required=True, metavar="CODE", help="Images that failed with this code.")
def retry(run: str, code: str) -> None:
    """Compute failures of RUN again, those with one code.

    What was found for other images stays. `smoothvote images RUN --outcome failed` lists failures and their codes.
    """
    from difflib import get_close_matches

    from db.errors import WrongUse
    from db.retry import codes
    from db.retry import retry as retry_images
    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings

    engine = connect(load_settings())
    with reading(engine) as session:
        found = find_run(session, run)
        state = progress(session, found)
        known = codes(session, found.id)
    if not known:
        raise WrongUse(f"--code {code}: no image of {_named(found)} failed; there is nothing to compute again")
    if code not in known:
        near = get_close_matches(code, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        there = ", ".join(f"{name} ({count})" for name, count in known.items())
        raise WrongUse(f"--code {code}: no image of {_named(found)} failed with it: {meant}its codes are {there}")
    images = retry_images(engine, found.id, code)
    waits = {
        "cancelled": "the run is cancelled: submit it again",
        "paused": f"the run is paused: smoothvote resume {found.id}",
    }
    pending = f"{images} image{' is' if images == 1 else 's are'} pending again"
    click.echo(f"{pending} in {_named(found)}; {waits.get(state.word) or _goes_on(found)}", err=True)


@click.command()
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def rm(run: str, yes: bool) -> None:
    """Delete RUN and all that was found for it.

    The record of its images goes, too, if no other run has them. Files are not touched. A run that is not complete must
    be cancelled first.
    """
    import sys

    from db.errors import SmoothvoteError, WrongUse
    from db.removal import remove
    from db.runs import find_run, progress
    from db.session import connect, reading
    from db.settings import load_settings

    engine = connect(load_settings())
    with reading(engine) as session:
        found = find_run(session, run)
        state = progress(session, found)
    if not state.complete and not state.cancelled:
        raise WrongUse(f"{_named(found)} is {state.word}, not complete: smoothvote cancel {found.id} first")
    if not yes:
        if not sys.stdin.isatty():
            raise WrongUse(f"this deletes {_named(found)} for ever: add --yes if that is meant")
        if not click.confirm(f"Delete {_named(found)}, {state.done} images done, for ever?", err=True):
            raise SmoothvoteError(f"{_named(found)} is not deleted")
    remove(engine, found.id)
    click.echo(f"deleted {_named(found)}", err=True)


@contextmanager
def _told(run: str) -> "Iterator[tuple[Session, RunInfo, Progress]]":
    """Finds a run and its progress, and changes it in the body of the ``with``: all in one transaction."""
    from db.runs import find_run, progress
    from db.session import connect, writing
    from db.settings import load_settings

    with writing(connect(load_settings())) as session:
        found = find_run(session, run)
        yield session, found, progress(session, found)


def _refuse_cancelled(run: "RunInfo", state: "Progress", verb: str) -> None:
    """Raises WrongUse for a cancelled run: a pause would not hold it back, and the end of one not bring it back."""
    from db.errors import WrongUse

    if state.word == "cancelled":
        raise WrongUse(f"{_named(run)} is cancelled: there is nothing to {verb}; submitting it again resumes it")


def _goes_on(run: "RunInfo") -> str:
    """How a run that has jobs to send is worked on."""
    from db.settings import load_settings

    embedded = load_settings().broker_url is None
    return "the command that submitted it goes on with it" if embedded else f"smoothvote watch {run.id}"


def _named(run: "RunInfo") -> str:
    return f"run {run.id} {run.name}"


VERBS = (cancel, pause, resume, priority, retry, rm)
