"""Tables for people: the answer first, then one table that fits the screen, then where to look next.

Intervals stand below their rates, to two digits. On a terminal nothing is wider than the screen: texts are folded,
and tables are split. In a pipe or a file everything is printed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from report.columns import LEAST, Column, Place, places
from report.document import Bold, Cell, Document, Stacked, Step, Table
from report.formats import Format
from report.screen import Screen
from report.stats import Mean, Paired, Rate
from report.text import beside, fold, is_text, value, words


def text(document: Document, screen: Screen, detail: bool) -> str:
    """The headline, the answer, the summary and what stands below it, the details if wanted, and where to look next."""
    below = [draw(document.summary, screen), *map(screen.paragraph, (document.counts, document.summary.legend))]
    parts = [
        "\n".join(map(screen.line, document.headline)),
        screen.paragraph(document.verdict),
        "\n".join(part for part in below if part),
    ]
    for table in (*document.also, *(document.details if detail else ())):
        parts += [screen.paragraph(table.title), draw(table, screen), screen.paragraph(table.legend)]
    left = [step for step in document.steps if not (detail and step.command.endswith("--detail"))]
    return "\n\n".join(part for part in [*parts, steps(left, screen)] if part)


def steps(shown: Sequence[Step], screen: Screen) -> str:
    """What can be looked at next, each with its command, on lines of its own where it does not fit beside."""
    lines = []
    longest = max((len(step.what) for step in shown), default=0)
    for what, command in shown:
        line = f"{what:<{longest}}  {command}"
        if screen.width and len(line) > screen.width:
            # With backslashes it can be pasted, however many lines it takes.
            line = f"{what}\n  " + " \\\n    ".join(fold(command, screen.width - 6, cut=False))
        lines.append(line)
    return "\n".join(lines)


class Lines(NamedTuple):
    """A cell in two parts: its value, and what stands dimmed below it."""

    above: str
    below: str
    bold: bool = False


def draw(table: Table, screen: Screen) -> str:
    """A table in one part, or in several where the screen is narrower than it; "" if it has no row."""
    if not table.rows:
        return ""
    if screen.width is None:
        table = side_by_side(table)
    cells = [
        [Lines(value(cell), beside(cell, _ends, _difference), isinstance(cell, Bold)) for cell in row]
        for row in table.rows
    ]
    columns = [_column(table, [row[number] for row in cells], number) for number in range(len(table.head))]
    parts = places(columns, screen.width, table.keys)
    return "\n\n".join(_draw_part(table, cells, part, screen) for part in parts)


def side_by_side(table: Table) -> Table:
    """The table with stacked texts beside each other, so that other programs read a record from one line.

    They become two columns where both have a title, else one text.
    """
    head: list[str] = []
    columns: list[list[Cell]] = []
    for title, *cells in zip(table.head, *table.rows, strict=True):
        stacked = any(isinstance(cell, Stacked) for cell in cells)
        names = title.split(", ", 1) if ", " in title or not table.second else [title, table.second]
        if stacked and len(names) == 2:
            columns.append([cell.text if isinstance(cell, Stacked) else cell for cell in cells])
            columns.append([cell.below if isinstance(cell, Stacked) else "" for cell in cells])
        else:
            columns.append(
                [f"{cell.text} {cell.below}".strip() if isinstance(cell, Stacked) else cell for cell in cells]
            )
            names = [title]
        head += names
    return replace(table, head=head, rows=list(zip(*columns, strict=True)))


def _column(table: Table, cells: Sequence[Lines], number: int) -> Column:
    """How wide a column of the table is, and how narrow it may be. A title is folded to the width of its cells."""
    from rich.cells import cell_len

    title = [cell_len(word) for word in words(table.head[number])]
    lines = [line for cell in cells for line in (cell.above, cell.below)]
    width = max([*title, *map(cell_len, lines)], default=0)
    if not is_text(table, number):
        return Column(width, width)
    parts = [min(cell_len(word), LEAST) for line in lines for word in words(line)]
    return Column(width, min(width, max([*title, *parts], default=0)))


def _draw_part(table: Table, cells: list[list[Lines]], part: list[Place], screen: Screen) -> str:
    from rich import box
    from rich.console import Console, Group
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    titles = {column: fold(table.head[column], width) for column, width in part}
    high = max(map(len, titles.values()))
    for column, width in part:
        title = "\n" * (high - len(titles[column])) + "\n".join(titles[column])
        grid.add_column(Text(title), width=width, justify="left" if is_text(table, column) else "right", no_wrap=True)
    for number, row in enumerate(cells, 1):
        drawn = []
        for column, width in part:
            cell = row[column]
            above, below = (Text("\n".join(fold(text, width))) for text in (cell.above, cell.below))
            above.stylize("bold" if cell.bold else "")
            below.stylize("dim")
            drawn.append(Group(above, below) if below else above)
        grid.add_row(*drawn, end_section=bool(table.together) and number % table.together == 0)
    console = Console(width=10_000, force_terminal=screen.styles, color_system="standard" if screen.styles else None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def _ends(found: Rate | Mean) -> str:
    return f"{_short(found.low)}–{_short(found.high)}"


def _short(end: float) -> str:
    return f"{end:.2f}".removeprefix("0") if end < 0.995 else f"{end:.1f}"


def _difference(pair: Paired) -> str:
    return ", ".join(f"{end:+.2f}".replace("0.", ".", 1) for end in (pair.low, pair.high))


MEMBER = Format("table", text)
