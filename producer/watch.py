"""Watching a run: a live bar on a terminal, a line every ten seconds elsewhere."""

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

#: Called at every look at the progress, to dispatch for instance. What it raises ends the watch.
Look = Callable[[runs.Progress], None]

#: Seconds between two looks, and between two lines where stderr is no terminal.
LOOK = 0.5
LINE = 10.0


class RateColumn(ProgressColumn):
    """Images or copies per second, over the last minute."""

    def render(self, task: Task) -> Text:
        """Called by rich to draw the column."""
        speed = task.finished_speed or task.speed
        rate = "–" if speed is None else f"{speed:.1f}"
        return Text(f"{rate} {task.fields['unit']}/s", style="progress.data.speed")


class Display:
    """The progress of a run on stderr: its images, and for a certificate their copies. The bar is gone at the end."""

    def __init__(self, run: runs.RunInfo, waiting: str) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"), RateColumn(), TimeRemainingColumn(),
            TextColumn("{task.fields[failed]} failed{task.fields[note]}", markup=False),
        )  # fmt: skip
        self.bar = Progress(
            *columns, console=console, disable=not console.is_terminal, transient=True, speed_estimate_period=60
        )
        self._waiting = waiting
        # An image may have a hundred thousand copies, which many workers share.
        self._unit = "copies" if run.recipe.certifies else "images"
        self._task = self.bar.add_task(run.name, total=run.expected * run.copies, failed=0, note="", unit=self._unit)
        self._began, self._next_line = time.monotonic(), LINE
        self._at_first: int | None = None

    def say(self, line: str) -> None:
        """Prints a line above the bar."""
        self.bar.console.print(f"smoothvote: {line}", markup=False, soft_wrap=True)

    def show(self, state: runs.Progress) -> None:
        """Moves the bar; where there is none, prints a line if it is time for one."""
        note = f" · {state.refused_by}: {state.note}" if state.note else ""
        if state.paused:
            note = " · paused: no more jobs are sent"
        done, total = state.done_copies, state.expected * state.copies
        if self._at_first is None:
            self._at_first = done
        waiting = f" · {self._waiting}" if self._waiting and done == self._at_first else ""
        self.bar.update(self._task, completed=done, total=total, failed=state.failed, note=note or waiting)
        elapsed = time.monotonic() - self._began
        if self.bar.disable and elapsed >= self._next_line:
            new = done - self._at_first
            rate = f"{new / elapsed:.1f} {self._unit}/s, " if new else ""
            line = f"{done} of {total} {self._unit}, {rate}{state.failed} failed{note}"
            print(line, file=sys.stderr, flush=True)
            self._next_line += LINE


def watch(engine: Engine, run: runs.RunInfo, *, each_look: Look, waiting: str = "") -> runs.Progress:
    """Shows the run's progress on stderr until it is complete or cancelled.

    An outage of the database is waited out. The counts of a complete run are stored for its reports.

    Args:
        engine: the database.
        run: the run.
        each_look: called with the progress at every look at which the run is not complete.
        waiting: what the bar says until something is done.

    Returns:
        The progress at the last look.
    """

    def look() -> runs.Progress:
        with reading(engine) as session:
            return runs.progress(session, run)

    display, told = Display(run, waiting), ""
    with display.bar:
        while True:
            state = outlast(look, display.say)
            display.show(state)
            if state.complete:
                outlast(lambda: summarise(engine, run), display.say)
            if state.complete or state.cancelled:
                return state
            try:
                each_look(state)
            except SQLAlchemyError as error:
                if not passes(error):
                    raise
                if told != reason(error):
                    display.say(f"{reason(error)}; trying again")
                told = reason(error)
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
