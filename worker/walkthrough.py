"""The article's walk-through: what the three views of single images are taken for, level by level, and the vote."""

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from db.classes import class_names
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry, Predicted
from db.text import plain
from worker.answers import as_table
from worker.assembly import make_classifier
from worker.classifier import choose_device
from worker.images import Pixels, decode, read
from worker.pipeline import predict
from worker.smoothing import VIEWS


def walk_through(images: Sequence[str], recipe: Recipe, settings: Settings, form: str) -> bool:
    """Prints the vote on each image as a table or JSON; False if there was one that could not be used."""
    there = []
    for number, path in enumerate(images):
        if os.path.exists(os.path.expanduser(path)):
            there.append((number, path))
        else:
            print(plain(f"smoothvote: {path}: no such file"), file=sys.stderr)
    if not there:
        return False  # told before the model is loaded
    classifier = make_classifier(
        recipe, device=choose_device(settings.device), engine="eager", batch_size=settings.batch_size
    )
    names = class_names(recipe)
    sources = [(number, partial(_open, path, recipe, settings)) for number, path in there]
    all_usable = len(there) == len(images)
    for found in predict(sources, recipe, classifier):
        for failed in found.failed:
            all_usable = False
            print(plain(f"smoothvote: {images[failed.image_id]}: {failed.code}: {failed.message}"), file=sys.stderr)
        for image_id in sorted({row.image_id for row in found.predicted}):
            rows = [row for row in found.predicted if row.image_id == image_id]
            print(
                _as_json(images[image_id], rows, names) if form == "json" else as_table(images[image_id], rows, names)
            )
    return all_usable


def _open(path: str, recipe: Recipe, settings: Settings) -> Pixels:
    # The person at the terminal names the file: no root keeps them in.
    file = Path(path).expanduser().absolute()
    settings = settings.model_copy(update={"image_root": Path(file.anchor)})
    return decode(
        read(str(file.parent), Entry(path=file.name, label=None, bytes=None), settings),
        grayscale=recipe.grayscale,
        max_pixels=settings.max_pixels,
        max_side=settings.max_side,
    )


def _as_json(image: str, rows: list[Predicted], names: dict[int, str]) -> str:
    levels: list[dict[str, Any]] = []
    for row in rows:
        level: dict[str, Any] = {"sigma": row.sigma}
        for view in VIEWS:
            label = getattr(row, f"label_{view}")
            level[view] = {"label": label, "name": names[label], "confidence": getattr(row, f"confidence_{view}")}
        voted = None if row.label_maj is None else {"label": row.label_maj, "name": names[row.label_maj]}
        levels.append(level | {"vote": voted})
    return json.dumps({"image": image, "levels": levels}, ensure_ascii=False)
