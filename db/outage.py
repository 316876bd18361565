"""Waiting for a database that restarts, is full, locked or read-only, or has no free connection."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import Away, one_line
from db.session import first_line

T = TypeVar("T")

#: Seconds between two attempts: the first pause, and the longest.
SHORTEST, LONGEST = 0.2, 10.0


def passes(error: BaseException) -> bool:
    """Whether an error is a temporary condition of the database, so that trying again can succeed.

    A lost connection counts even during COMMIT, when nobody knows whether it took place: every transaction of this
    code may be repeated.
    """
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | InterfaceError):
        return error.connection_invalidated
    return isinstance(error, DBAPIError | PoolTimeout | Away)


def reason(error: BaseException) -> str:
    """Why the database cannot be used, in one line."""
    if isinstance(error, DBAPIError):
        return f"cannot use the database: {first_line(error)}"
    return one_line(error)


def outlast(act: Callable[[], T], say: Callable[[str], None], *, outlasts: Callable[[Exception], bool] = passes) -> T:
    """Repeats an action until the database can be used again, with growing pauses; gives its result.

    Args:
        act: the action; a whole transaction that may be repeated.
        say: called with a line when the waiting begins, when its reason changes, and when it ends.
        outlasts: the errors to wait for; any other is raised.
    """
    pause, began, said = SHORTEST, time.monotonic(), ""
    while True:
        try:
            result = act()
        except Exception as error:
            if not outlasts(error):
                raise
            if said != (why := reason(error)):
                say(f"{why}; waiting for it")
            said = why
            # A random part, so that workers do not all come back at the same moment.
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST)
        else:
            if said:
                say(f"it is back, after {time.monotonic() - began:.0f} s")
            return result
