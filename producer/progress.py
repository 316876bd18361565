"""How far a long count of images has come, on stderr: a bar on a terminal, a line every ten seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TypeVar

T = TypeVar("T")

#: Nothing is shown in the first second. Seconds between two lines where stderr is no terminal.
SILENT, LINE = 1.0, 10.0
#: The clock is asked once in so many images.
EVERY = 500


def counted(images: Iterable[T], done: str, total: int | None = None) -> Iterator[T]:
    """Passes images on, and shows how many there were.

    Args:
        images: the images.
        done: what is done with them: "found", "recorded".
        total: how many there will be; None if nobody knows.
    """
    with ExitStack() as stack:
        show: Callable[[int], None] | None = None
        began = time.monotonic()
        for number, image in enumerate(images):
            if number % EVERY == 0:
                if show is None and time.monotonic() - began > SILENT:
                    show = _bar(stack, done, total) if sys.stderr.isatty() else _lines(done, total)
                if show:
                    show(number)
            yield image


def _bar(stack: ExitStack, done: str, total: int | None) -> Callable[[int], None]:
    # Imported here: most datasets are read within a second.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(f"images {done}"), TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=Console(stderr=True), transient=True))
    task = bar.add_task("", total=total)
    return lambda number: bar.update(task, completed=number)


def _lines(done: str, total: int | None) -> Callable[[int], None]:
    last = time.monotonic()

    def show(number: int) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE:
            last = time.monotonic()
            of = "" if total is None else f" of {total}"
            print(f"{number}{of} images {done}", file=sys.stderr, flush=True)

    return show
