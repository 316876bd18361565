"""What a command found, before any format prints it: a headline, an answer in words, tables of values, and plain data.

    report, comparison, sweep, … --(documents/)--> Document --(formats/)--> table, csv, json, markdown, latex

A cell holds a value, not text: each format decides how many digits of it to print, and where its interval stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from report.stats import Mean, Paired, Rate


class PValue(NamedTuple):
    """The p-value of a test."""

    p: float


class Number(NamedTuple):
    """A number without an interval, and how Python formats it: ``.4f``."""

    value: float
    spec: str


class Written(NamedTuple):
    """A number that is written already, as a level is by its axis: ``0.25``, ``1/255``."""

    number: str


class Bold(NamedTuple):
    """A number that is written already, and stands out: the best of its column."""

    number: str


class Marked(NamedTuple):
    """A rate with a mark before it that the legend explains, or with "" for none."""

    rate: Rate | None
    mark: str


class Stacked(NamedTuple):
    """A text and, less important, a second one below it.

    In a pipe they are two columns if both have a title: a head such as ``name, model``, or the table's ``second``.
    """

    text: str
    below: str


#: None: no value, such as a rate over no images.
Cell = Rate | Mean | Paired | PValue | Number | Written | Bold | Marked | Stacked | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under a head.

    A column is text, and stands left, where its cells are str or Stacked; numbers stand right.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    #: What the columns mean.
    legend: str = ""
    #: How many columns, from the left, say what a row is about: a table too wide for the screen is split, and each part
    #: begins with them.
    keys: int = 1
    #: What the second text of a stacked column is called, where its head names only the first.
    second: str = ""
    #: So many rows belong together; 0 if each stands for itself.
    together: int = 0


class Step(NamedTuple):
    """Where to look next: what is seen there, and the command that shows it."""

    what: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a command found, in the order in which a person reads it."""

    #: What was measured and whether it is complete: lines of text.
    headline: Sequence[str]
    #: The answer in words.
    verdict: str = ""
    #: The one table that fits a screen.
    summary: Table
    #: Tables that stand below the summary on a screen, too.
    also: Sequence[Table] = ()
    #: How many images the summary is about, in words.
    counts: str = ""
    #: What the summary leaves out.
    details: Sequence[Table] = ()
    steps: Sequence[Step] = ()
    #: Everything, as JSON prints it.
    data: Any = None
    #: Everything, as flat rows with the same keys: what CSV prints.
    records: Sequence[dict[str, Any]] = field(default_factory=list)
