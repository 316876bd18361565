"""What a person is told when something is wrong: one line with the remedy, and an exit code."""

DONE, FAILED, WRONG_USE, INCOMPLETE = 0, 1, 2, 3


def one_line(error: BaseException) -> str:
    """What an error says, in one line that fits a terminal, and any database."""
    lines = str(error).strip().splitlines()
    said = (lines[0] if lines else type(error).__name__)[:300]
    # PostgreSQL takes no NUL, and nobody a lone surrogate; both may come from inside a broken file.
    return said.replace("\0", "").encode(errors="replace").decode()


def plain(text: str) -> str:
    """Text from outside without control characters: a file's name must not speak to the terminal."""
    return text.translate(_CONTROLS)


_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "�")


class SmoothvoteError(Exception):
    """Something failed that is not a bug. The message is one line: what, where, what to do."""

    exit_code = FAILED


class WrongUse(SmoothvoteError):
    """The command, its input or its settings must be changed."""

    exit_code = WRONG_USE


class Away(WrongUse):
    """The queue or the database cannot be reached. Who has time may wait for it."""


class Refusal(WrongUse):
    """This worker cannot do this job, though nothing is wrong with the job's images.

    Weights that cannot be had, or that differ from those the run began with; a dataset whose root is
    not mounted. The job goes back, with the message as its note.
    """
