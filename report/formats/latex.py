"""LaTeX, for papers: every table whole, in the manner of booktabs, intervals in brackets."""

from collections.abc import Iterable

from report.document import Bold, Cell, Document, Table
from report.formats import Format
from report.screen import PAPER, Screen
from report.text import bracketed, is_text, value

ESCAPED = str.maketrans(
    {char: f"\\{char}" for char in "&%$#_{}"}
    | {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "σ": r"$\sigma$",
        "α": r"$\alpha$",
        "ε": r"$\varepsilon$",
        "−": "$-$",
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "→": r"$\to$",
        "…": r"\dots{}",
        "–": "--",
        "×": r"$\times$",
        "∞": r"$\infty$",
    }
)


def text(document: Document, screen: Screen, detail: bool) -> str:
    """The headline and the answer as comments, then every table. The first caption has the headline, too."""
    said = [PAPER.line(line) for line in document.headline]
    comments = [f"% {PAPER.line(line)}" for line in (*said, document.verdict, document.counts) if line]
    tables = [table(document.summary, said), *map(table, (*document.also, *document.details))]
    return "\n".join([*comments, "\n\n".join(tables)])


def table(shown: Table, before: Iterable[str] = ()) -> str:
    """A table whose caption begins with these sentences."""
    sentences = [*before, *([shown.title] if shown.title else [])]
    caption = " ".join([*(f"{sentence}." for sentence in sentences), shown.legend]).strip()
    columns = "".join("l" if is_text(shown, number) else "r" for number in range(len(shown.head)))
    lines = [_row(map(escaped, shown.head)), *(_row(map(_cell, row)) for row in shown.rows)]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escaped(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def escaped(text: str) -> str:
    """Text from outside as LaTeX prints it: letter by letter."""
    return text.translate(ESCAPED)


def _row(cells: Iterable[str]) -> str:
    line = " & ".join(cells) + r" \\"
    # A row that begins with a bracket would be read as an option of the row before.
    return f"{{}}{line}" if line.startswith("[") else line


def _cell(cell: Cell) -> str:
    if isinstance(cell, Bold):
        return rf"\textbf{{{escaped(cell.number)}}}"
    return escaped(" ".join(part for part in (value(cell), bracketed(cell)) if part))


MEMBER = Format("latex", text)
