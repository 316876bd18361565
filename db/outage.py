"""Outages: a database that restarts, is full, locked, read-only or out of connections is waited for."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from db.errors import Away, one_line
from db.session import first_line

T = TypeVar("T")

#: Seconds between two tries: at first, and at most.
SHORTEST, LONGEST = 0.2, 10.0


def passes(error: BaseException) -> bool:
    """Whether this is the database's condition, which passes, and nothing that trying again would only repeat.

    A COMMIT whose answer was lost is among them: all that is written here may be written twice.
    """
    if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | InterfaceError):
        return error.connection_invalidated
    return isinstance(error, DBAPIError | PoolTimeout | Away)


def reason(error: BaseException) -> str:
    """What the database said, in one line."""
    if isinstance(error, DBAPIError):
        return f"cannot use the database: {first_line(error)}"
    return one_line(error)


def outlast(act: Callable[[], T], say: Callable[[str], None], *, outlasts: Callable[[Exception], bool] = passes) -> T:
    """Does it, however long the database is away, with longer and longer pauses.

    Args:
        act: what is to be done: a whole transaction, that may be done twice.
        say: is told when the waiting begins, whenever its reason changes, and when it is over.
        outlasts: which errors are waited out; others are raised.
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
            # Not all workers in the same moment.
            time.sleep(pause * random.uniform(0.5, 1))
            pause = min(2 * pause, LONGEST)
        else:
            if said:
                say(f"it is back, after {time.monotonic() - began:.0f} s")
            return result
