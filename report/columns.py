"""Which columns of a table stand side by side on a screen, and how wide each is.

In a table that is too wide, texts are folded first. If that is not enough, the table is split into parts,
one below the other, each of which begins with the columns that say what a row is about.
"""

from collections.abc import Sequence
from typing import NamedTuple

#: Blanks between two columns.
GAP = 2
#: Words of a text that are no longer than this are never broken.
LEAST = 10


class Column(NamedTuple):
    """What is known of a column before it has a place."""

    #: Width at which nothing is folded.
    width: int
    #: The narrowest that it may be.
    least: int


class Place(NamedTuple):
    """A column's number, and its width on the screen."""

    column: int
    width: int


def places(columns: Sequence[Column], screen: int | None, keys: int) -> list[list[Place]]:
    """The parts of a table, from the top, each with its columns from left to right.

    Args:
        columns: all columns of the table.
        screen: width of the screen; None is endless.
        keys: how many columns, from the left, every part begins with.
    """
    everything = range(len(columns))
    if screen is None or _least(columns, everything) <= screen:
        return [_widen(columns, everything, screen)]
    head = list(range(keys))
    parts = [head]
    for number in everything[keys:]:
        if len(parts[-1]) > keys and _least(columns, [*parts[-1], number]) > screen:
            parts.append(head)
        parts[-1] = [*parts[-1], number]
    return [_widen(columns, part, screen) for part in parts]


def _least(columns: Sequence[Column], part: Sequence[int]) -> int:
    return sum(columns[number].least for number in part) + GAP * (len(part) - 1)


def _widen(columns: Sequence[Column], part: Sequence[int], screen: int | None) -> list[Place]:
    """Gives each column its width; where the screen is too narrow for that, the widest texts give way first."""
    widths = {number: columns[number].width for number in part}
    if screen is not None:
        too_much = sum(widths.values()) + GAP * (len(part) - 1) - screen
        while too_much > 0:
            texts = [number for number in part if widths[number] > columns[number].least]
            if not texts:
                break
            widest = max(texts, key=lambda number: widths[number])
            widths[widest] -= 1
            too_much -= 1
    return [Place(number, width) for number, width in widths.items()]
