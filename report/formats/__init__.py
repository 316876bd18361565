"""How a document is printed: one format a file, each a MEMBER, found by its name. All of them print any document."""

from collections.abc import Callable
from dataclasses import dataclass

from db.registry import Family
from report.document import Document
from report.screen import PAPER, Screen


@dataclass(frozen=True)
class Format:
    """A way to print a document."""

    #: What `--format` calls it.
    name: str
    #: From a document, what it is printed on, and whether details are wanted where a format has a short form, to text
    #: without a newline at its end.
    text: Callable[[Document, Screen, bool], str]


FORMATS: Family[Format] = Family("report.formats", "format")


def as_text(document: Document, form: str = "table", *, screen: Screen = PAPER, detail: bool = False) -> str:
    """A document in a format.

    Args:
        document: what to print.
        form: the format's name.
        screen: what it is printed on.
        detail: whether a format that has a short form prints the long one.

    Raises:
        WrongUse: if there is no such format.
    """
    return FORMATS.find(form).text(document, screen, detail)
