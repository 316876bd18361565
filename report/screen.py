"""What a text is printed on: a terminal of some width, or a pipe or file, where nothing is folded."""

import os
import shutil
import sys
from typing import NamedTuple

from db.errors import plain
from report.text import fold

#: Columns: of prose where nothing else is known, of prose on any terminal, of the narrowest terminal that is served.
PROSE, WIDEST_PROSE, NARROWEST = 80, 100, 40


class Screen(NamedTuple):
    """What a text is printed on."""

    #: Columns of the terminal; None is a pipe or a file: no table is cut to a width.
    width: int | None = None
    #: Whether the terminal shows bold and dim letters.
    styles: bool = False

    def paragraph(self, text: str) -> str:
        """Prose, broken between words."""
        width = PROSE if self.width is None else min(self.width, WIDEST_PROSE)
        return "\n".join(fold(_one_line(text), width, cut=self.width is not None))

    def line(self, text: str) -> str:
        """A line as it is in a pipe, and broken like prose on a terminal that is too narrow for it."""
        text = _one_line(text)
        return text if self.width is None else "\n".join(fold(text, self.width))


def _one_line(text: str) -> str:
    # A name from outside may hold a newline, or speak to the terminal.
    return plain(" ".join(text.split()))


#: A pipe, a file, or a string that a program asks for.
PAPER = Screen()


def screen(*, err: bool = False) -> Screen:
    """What stdout is, or stderr. The width is COLUMNS, where that is set, else what the terminal says (`stty cols`)."""
    if not (sys.stderr if err else sys.stdout).isatty():
        return PAPER
    width = max(NARROWEST, shutil.get_terminal_size((PROSE, 24)).columns)
    return Screen(width, styles=os.environ.get("TERM", "dumb") != "dumb")
