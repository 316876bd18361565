"""A list of certified images as a document: an image and level a row, with its certified label and radius."""

from collections.abc import Iterable
from typing import Any

from db.axis import Axis
from report.document import Cell, Document, Number, Stacked, Table, Written
from report.documents.answers import named
from report.exports import Page


def document(pages: Iterable[Page], axis: Axis, names: dict[int, str]) -> Document:
    """Images as a table, which is held in memory: its columns are as wide as their widest cells.

    Args:
        pages: the columns of report.certified_images.LISTED.
        axis: what the levels measure.
        names: what each class is called, by its index.
    """
    rows = [
        _row(dict(zip(page, row, strict=True)), axis, names)
        for page in pages
        for row in zip(*page.values(), strict=True)
    ]
    return Document(
        headline=[] if rows else ["no image of the run fits"],
        summary=Table(
            head=["image, true class", axis.symbol, "outcome, certified label", "radius", "copies", "p at least"],
            rows=rows,
            keys=2,
            legend=(
                "Copies: those with the label that was selected, of those that estimate. P at least: the lower bound for "
                "the probability of that label; at 1/2 or below there is no certificate. Where images stop early, it is at "
                "α divided by the number of looks."
            )
            if rows
            else "",
        ),
    )


def _row(image: dict[str, Any], axis: Axis, names: dict[int, str]) -> list[Cell]:
    def called(label: int | None) -> str:
        return "" if label is None else named(label, names)

    begin: list[Cell] = [Stacked(image["path"], called(image["label"]))]
    if image["code"]:
        return [*begin, None, Stacked(image["outcome"], f"{image['code']}: {image['message']}"), None, None, None]
    return [
        *begin,
        Written(axis.number(image["level"])),
        Stacked(image["outcome"], called(image["certified_label"])),
        None if image["radius"] is None else Number(image["radius"], ".4f"),
        Written(f"{image['hits']} of {image['n']}"),
        Number(image["p_lower"], ".4f"),
    ]
