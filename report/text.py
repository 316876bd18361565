"""Tables and figures as text: for a terminal, as CSV, Markdown and LaTeX. What comes from outside can do no harm."""

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from report.report import Tested
from report.stats import Rate


def render(table: Table, *, above: str = "", below: str = "") -> str:
    """A table as text, in the terminal's colours if stdout is one, and never cut to its width.

    Args:
        table: what to show.
        above: a line over it, never broken.
        below: a text under it, broken at the table's width.
    """
    # A pipe has no width, and rich would assume 80 columns. Names come from outside: they are text, never markup.
    needed = Console(width=10_000, markup=False).measure(table).maximum
    console = Console(width=max(needed, Console().width), markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    lines = [above] if above else []
    lines += (line.rstrip() for line in captured.get().rstrip().splitlines())
    return "\n".join([*lines, *textwrap.wrap(below, max(needed, 80))])


def to_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """Rows as CSV under a header; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


#: A spreadsheet takes a cell that begins so for a formula, and its author may be whoever named an image.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
#: What a cell must be quoted for.
QUOTED = re.compile('[,"\r\n]')


def csv_text(text: str | None) -> str:
    """Text from outside as a cell of CSV: quoted where it must be; with a ' before it where it could be a formula."""
    # Not by csv.writer: it leaves a carriage return unquoted where lines end with a newline alone.
    if not text:
        return ""
    text = f"'{text}" if text.startswith(FORMULA) else text
    return '"' + text.replace('"', '""') + '"' if QUOTED.search(text) else text


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> list[str]:
    """Lines of a Markdown table with its caption."""
    return [_row(head), _row(["---:"] * len(head)), *(_row(row) for row in rows), "", f"Table: {caption}"]


#: What means something in Markdown, and HTML, which may stand in it.
_MARKDOWN = str.maketrans({char: f"\\{char}" for char in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})

#: The intervals of rates stand in brackets.
_MARKDOWN_CELL = {letter: escaped for letter, escaped in _MARKDOWN.items() if chr(letter) not in "[]"}


def markdown_text(text: str) -> str:
    """Text from outside as Markdown shows it: letter by letter."""
    return text.translate(_MARKDOWN)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.translate(_MARKDOWN_CELL).replace("](", "]\\(") for cell in cells) + " |"


_LATEX = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "σ": r"$\sigma$",
        "−": "$-$",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "→": r"$\to$",
        "…": r"\dots{}",
        "–": "--",
        "×": r"$\times$",
    }
)


def latex(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> list[str]:
    """Lines of a LaTeX table with its caption, in the manner of booktabs."""
    lines = [" & ".join(cell.translate(_LATEX) for cell in row) + r" \\" for row in (head, *rows)]
    # A row that begins with a bracket would be read as an option of the row before.
    lines = [f"{{}}{line}" if line.startswith("[") else line for line in lines]
    return [
        r"\begin{table}",
        rf"\caption{{{caption.translate(_LATEX)}}}",
        r"\begin{tabular}{" + "r" * len(head) + "}",
        r"\toprule",
        lines[0],
        r"\midrule",
        *lines[1:],
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def p_value(p: float) -> str:
    """A p-value as papers print it."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def with_interval(share: Rate | None) -> str:
    """A rate and its interval to three digits, for papers."""
    return f"{share.value:.4f} [{share.low:.3f}, {share.high:.3f}]" if share else "–"


def with_ends(share: Rate | None) -> str:
    """A rate and its interval to two digits, for a terminal."""
    return f"{share.value:.4f} {_short(share.low)}–{_short(share.high)}" if share else "–"


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def pair_cells(tested: Tested | None) -> tuple[str, str]:
    """A paired difference with its interval; its adjusted p."""
    if tested is None:
        return "–", "–"
    pair = tested.pair
    return f"{pair.difference:+.4f} {pair.low:+.3f} to {pair.high:+.3f}", p_value(tested.p_holm)
