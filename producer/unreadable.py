"""A place that cannot be read: what file systems and the clients of stores say of it, as one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from db.errors import SmoothvoteError, WrongUse
from db.settings import is_http


class Unreadable(WrongUse):
    """A place that is not there, or cannot be read. The caller adds to the message what to name instead."""


@contextmanager
def file_errors(shown: str, url: str | None) -> Iterator[None]:
    """Turns the errors of file systems into one line that names the place.

    Args:
        shown: the place, as the person named it.
        url: its URL; None for a folder of this machine.

    Raises:
        Unreadable: if it is not there, or cannot be read.
        WrongUse: for an error of a store's client.
    """
    try:
        yield
    except SmoothvoteError:
        raise
    except FileNotFoundError:
        raise Unreadable(f"{shown}: no such file or folder") from None
    except OSError as error:
        raise Unreadable(f"{shown}: {error.strerror or error}") from None
    except Exception as error:
        # The client libraries of stores have no common class of errors, and their messages may hold keys.
        if url is None:
            raise
        raise WrongUse(f"{shown}: {type(error).__name__}; are its packages and credentials here?") from None


@contextmanager
def cause_over_http(url: str) -> Iterator[None]:
    """Raises the true error of a request over http: fsspec turns each into FileNotFoundError."""
    try:
        yield
    except FileNotFoundError as error:
        if is_http(url) and isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise
