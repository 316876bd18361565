"""CSV, for spreadsheets: the flat rows of a document under a header."""

from typing import Any

from report.document import Document
from report.exports import page_of
from report.exports.csv import header, lines
from report.formats import Format
from report.screen import Screen


def text(document: Document, screen: Screen, detail: bool) -> str:
    """The document's records; ``screen`` and ``detail`` change nothing."""
    records = document.records
    if not records:
        return ""
    page = page_of(records, records[0])
    types = {name: _type([*column]) for name, column in page.items()}
    return "".join([header(types), *lines(page, types)]).rstrip("\n")


def _type(column: list[Any]) -> type:
    return next((type(value) for value in column if value is not None), str)


MEMBER = Format("csv", text)
