"""Markdown, for issues and pages: every table whole, intervals in brackets, text from outside letter by letter."""

from collections.abc import Iterable

from report.document import Bold, Cell, Document, Stacked, Table
from report.formats import Format
from report.screen import PAPER, Screen
from report.text import bracketed, is_text, value

#: What means something in Markdown, and HTML, which may stand in it.
ESCAPED = str.maketrans({char: f"\\{char}" for char in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def text(document: Document, screen: Screen, detail: bool) -> str:
    """The headline, the answer, and every table."""
    headline = [f"**{escaped(PAPER.line(line))}**" for line in document.headline]
    parts = ["  \n".join(headline), escaped(document.verdict), escaped(document.counts)]
    parts += map(table, (document.summary, *document.also, *document.details))
    return "\n\n".join(part for part in parts if part)


def table(shown: Table) -> str:
    """A table and its caption."""
    caption = " ".join(part for part in (shown.title and f"{shown.title}.", shown.legend) if part)
    rule = [":---" if is_text(shown, number) else "---:" for number in range(len(shown.head))]
    lines = [_row(map(escaped, shown.head)), _row(rule), *(_row(map(_cell, row)) for row in shown.rows)]
    return "\n".join([*lines, *(["", f"Table: {escaped(caption)}"] if caption else [])])


def escaped(text: str) -> str:
    """Text from outside as Markdown shows it: letter by letter."""
    return text.translate(ESCAPED)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    if isinstance(cell, Stacked):
        return escaped(f"{value(cell)} {cell.below}")
    if isinstance(cell, Bold):
        return f"**{escaped(cell.number)}**"
    # These brackets follow a number: they are no link, and stay as they are.
    return " ".join(part for part in (escaped(value(cell)), bracketed(cell)) if part)


MEMBER = Format("markdown", text)
