"""Images as text, a line or row each, as table, csv or jsonl. A million of them take no more memory than one page."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import Any

from rich.table import Table

from db.errors import plain
from db.recipe import Recipe
from report.outcomes import ImageOutcome
from report.text import csv_text, render

COLUMNS = [field.name for field in fields(ImageOutcome)]


def format_images(found: Iterable[ImageOutcome], form: str, recipe: Recipe, names: dict[int, str]) -> Iterator[str]:
    """Images line by line, as table, csv or jsonl; ``names`` gives labels their class names.

    A table's columns are as wide as their widest cell: of that form alone all is held before the first line.
    """
    if form == "jsonl":
        return (json.dumps(_json(image, recipe), ensure_ascii=False) for image in found)
    return _csv(found) if form == "csv" else iter([_table(found, names)])


def _json(image: ImageOutcome, recipe: Recipe) -> dict[str, Any]:
    fields = {name: getattr(image, name) for name in COLUMNS}
    return {"path": fields.pop("path"), **recipe.level_fields(fields.pop("level")), **fields}


def _csv(found: Iterable[ImageOutcome]) -> Iterator[str]:
    yield ",".join(COLUMNS)
    for image in found:
        yield ",".join(_cell(getattr(image, name)) for name in COLUMNS)


def _cell(value: str | float | None) -> str:
    return csv_text(value) if value is None or isinstance(value, str) else repr(value)


def _table(found: Iterable[ImageOutcome], names: dict[int, str]) -> str:
    table = Table("image", "σ", "outcome", "true", "vote", "ns", "ss", "ds")

    def named(label: int | None, confidence: float | None = None) -> str:
        share = "" if confidence is None else f" {confidence:.2f}"
        return "" if label is None else names.get(label, str(label)) + share

    for image in found:
        level = "" if image.level is None else f"{image.level:g}"
        if image.code:
            why = plain(f"{image.code}: {image.message}")
            table.add_row(plain(image.path), level, image.outcome, named(image.label), "", why)
            continue
        views = (
            named(image.label_ns, image.confidence_ns),
            named(image.label_ss, image.confidence_ss),
            named(image.label_ds, image.confidence_ds),
        )
        table.add_row(plain(image.path), level, image.outcome, named(image.label), named(image.label_maj), *views)
    return render(table)
