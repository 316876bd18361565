"""A list of images as a document: an image and level a row, with the label that each view and the vote gave."""

from collections.abc import Iterable
from typing import Any

from db.axis import Axis
from report.document import Cell, Document, Stacked, Table, Written
from report.documents.answers import named
from report.exports import Page


def document(pages: Iterable[Page], axis: Axis, names: dict[int, str]) -> Document:
    """Images as a table, which is held in memory: its columns are as wide as their widest cells.

    Args:
        pages: the columns of report.images.LISTED.
        axis: what the levels measure.
        names: what each class is called, by its index.
    """
    head = ["image, true class", axis.symbol, "outcome, vote", "NS", "SS", "DS"]
    rows = [
        _row(dict(zip(page, row, strict=True)), axis, names)
        for page in pages
        for row in zip(*page.values(), strict=True)
    ]
    return Document(
        headline=[] if rows else ["no image of the run fits"],
        summary=Table(head=head, rows=rows, keys=2, second="confidence"),
    )


def _row(image: dict[str, Any], axis: Axis, names: dict[int, str]) -> list[Cell]:
    def called(label: int | None) -> str:
        return "" if label is None else named(label, names)

    level = None if image["level"] is None else Written(axis.number(image["level"]))
    begin: list[Cell] = [Stacked(image["path"], called(image["label"])), level]
    if image["code"]:
        return [*begin, Stacked(image["outcome"], f"{image['code']}: {image['message']}"), None, None, None]
    views = [
        Stacked(called(image[f"label_{view}"]), f"{image[f'confidence_{view}']:.2f}") for view in ("ns", "ss", "ds")
    ]
    return [*begin, Stacked(image["outcome"], called(image["label_maj"])), *views]
