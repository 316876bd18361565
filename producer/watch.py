"""Watching a run: a live bar on a terminal, a line now and then elsewhere. It can be left and taken up again."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db import runs
from db.errors import INCOMPLETE
from db.outage import outlast, passes, reason
from db.session import reading
from db.summaries import summarise

#: Called with every look at the progress, to dispatch, say; what it raises ends the watch.
Look = Callable[[runs.Progress], None]

#: Seconds between two looks, and between two lines where there is no terminal.
LOOK = 0.5
LINE = 10.0


class RateColumn(ProgressColumn):
    """Images a second, over the last minute or so."""

    def render(self, task: Task) -> Text:
        """As rich asks of a column."""
        speed = task.finished_speed or task.speed
        return Text("– images/s" if speed is None else f"{speed:.1f} images/s", style="progress.data.speed")


def watch(engine: Engine, run: runs.RunInfo, *, each_look: Look) -> runs.Progress:
    """Shows the run's progress on stderr until it is complete or cancelled.

    Args:
        engine: the record.
        run: the run.
        each_look: called with every look.
    """

    def look() -> runs.Progress:
        with reading(engine) as session:
            return runs.progress(session, run)

    def say(line: str) -> None:
        bar.console.print(f"smoothvote: {line}", markup=False, soft_wrap=True)

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("images"),
        RateColumn(), TimeRemainingColumn(), TextColumn("{task.fields[failed]} failed{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal, speed_estimate_period=60) as bar:
        task = bar.add_task(run.name, total=run.expected, failed=0, note="")
        began, next_line, at_first, told = time.monotonic(), LINE, None, ""
        while True:
            state = outlast(look, say)
            at_first = state.done if at_first is None else at_first
            note = f" · {state.refused_by}: {state.note}" if state.note else ""
            bar.update(task, completed=state.done, failed=state.failed, note=note)
            if state.complete:
                outlast(lambda: summarise(engine, run), say)
            if state.complete or state.cancelled:
                return state
            try:
                each_look(state)
            except SQLAlchemyError as error:
                if not passes(error):
                    raise
                if told != reason(error):
                    say(f"{reason(error)}; trying again")
                told = reason(error)
            elapsed = time.monotonic() - began
            if bar.disable and elapsed >= next_line:
                rate = f"{(state.done - at_first) / elapsed:.1f} images/s, " if state.done > at_first else ""
                print(
                    f"{state.done} of {state.expected} images, {rate}{state.failed} failed{note}",
                    file=sys.stderr,
                    flush=True,
                )
                next_line += LINE
            time.sleep(LOOK)


@contextmanager
def left(said: str) -> Iterator[None]:
    """Ends the command on Ctrl-C in the body of the ``with``, with a line that says how to go on.

    Raises:
        SystemExit: with INCOMPLETE.
    """
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"smoothvote: {said}", err=True)
        raise SystemExit(INCOMPLETE) from None
