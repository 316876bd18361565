"""Errors that a person can act on, and the exit codes of the commands."""

DONE, FAILED, WRONG_USE, INCOMPLETE = 0, 1, 2, 3

#: The most characters of an error's text that are printed or stored.
LONGEST = 300


class SmoothvoteError(Exception):
    """An expected failure. The message is one line: what failed, where, and what to do."""

    exit_code = FAILED


class WrongUse(SmoothvoteError):
    """The command cannot succeed until its arguments, its input or a setting are changed."""

    exit_code = WRONG_USE


class Away(WrongUse):
    """The queue or the database cannot be used at the moment. A worker waits and tries again; a command ends."""


class Refusal(WrongUse):
    """This worker cannot do a job, although nothing is wrong with the job's images.

    For example, weights are missing, or differ from those that the run began with, or the dataset is not mounted.
    The worker gives the job back together with the message, and another worker may do it.
    """


def one_line(error: BaseException) -> str:
    """The first line of an error's text, or its type's name; safe to print and to store."""
    lines = str(error).strip().splitlines()
    text = (lines[0] if lines else type(error).__name__)[:LONGEST]
    # An error about a damaged file may quote bytes of it. PostgreSQL stores no NUL, and UTF-8 has no lone surrogates.
    return text.replace("\0", "").encode(errors="replace").decode()


def plain(text: str) -> str:
    """Text from outside, such as a file name, without control characters: a terminal obeys some of them."""
    return text.translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")
