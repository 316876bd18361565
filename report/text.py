"""Single values as text, and lines that fit a width. Widths are columns of a terminal: a Chinese letter takes two."""

import re
from collections.abc import Callable

from db.errors import plain
from report.document import Bold, Cell, Marked, Number, PValue, Stacked, Table, Written
from report.stats import Mean, Paired, Rate


def p_value(p: float) -> str:
    """A p-value as papers print it: ``.024``, ``<.001``."""
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def so_far(text: str) -> str:
    """An answer in words about a run that is incomplete: text begins with a capital letter, and no name."""
    return f"So far, with images pending: {text[0].lower()}{text[1:]}"


def value(cell: Cell) -> str:
    """A cell without its interval. Control characters in text from outside are replaced."""
    match cell:
        case None:
            return "–"
        case str():
            return plain(cell)
        case Rate() | Mean():
            return f"{cell.value:.4f}"
        case Paired():
            return f"{cell.difference:+.4f}"
        case PValue():
            return p_value(cell.p)
        case Number():
            return format(cell.value, cell.spec)
        case Written() | Bold():
            return cell.number
        case Marked():
            return f"{cell.mark} {value(cell.rate)}".lstrip()
        case Stacked():
            return plain(cell.text)
        case _:
            return f"{cell:g}" if isinstance(cell, float) else str(cell)


def beside(cell: Cell, rate: Callable[[Rate | Mean], str], difference: Callable[[Paired], str]) -> str:
    """What stands beside a cell's value, or below it: its interval, as these functions write it; or a second text."""
    match cell:
        case Rate() | Mean():
            return rate(cell)
        case Marked():
            return beside(cell.rate, rate, difference)
        case Paired():
            return difference(cell)
        case Stacked():
            return plain(cell.below)
        case _:
            return ""


def bracketed(cell: Cell) -> str:
    """The interval of a cell as papers print it, to three digits; of a stacked text, the second one."""
    return beside(
        cell, lambda rate: f"[{rate.low:.3f}, {rate.high:.3f}]", lambda pair: f"[{pair.low:+.3f}, {pair.high:+.3f}]"
    )


def is_text(table: Table, column: int) -> bool:
    """Whether a column is text, which may be folded, and stands left."""
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and all(isinstance(cell, str | Stacked) for cell in cells)


def words(text: str) -> list[str]:
    """The parts of a text between which a line may be broken; a level, as in ``σ = 0.25``, is one of them."""
    return re.findall(r"\S+(?: = \S+)?", text)


def broken(word: str, width: int) -> list[str]:
    """A word in pieces of at most ``width`` columns, broken after a ``/``, ``-`` or ``_`` where there is a late one."""
    from rich.cells import cell_len

    pieces = []
    while cell_len(word) > width:
        fits = max(1, next(count for count in range(len(word)) if cell_len(word[: count + 1]) > width))
        after = max(word.rfind(sign, 0, fits) for sign in "/-_") + 1
        end = after if after > fits // 2 else fits
        pieces.append(word[:end])
        word = word[end:]
    return [*pieces, word]


def fold(text: str, width: int, *, cut: bool = True) -> list[str]:
    """Lines of at most ``width`` columns, broken between words.

    Args:
        text: one paragraph.
        width: at most so many columns a line.
        cut: whether a word longer than a line is broken; else it stands alone, too long.
    """
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    for word in words(text):
        first, *rest = broken(word, width) if cut else [word]
        if lines and cell_len(lines[-1]) + 1 + cell_len(first) <= width:
            lines[-1] += f" {first}"
        else:
            lines.append(first)
        lines += rest
    return lines
