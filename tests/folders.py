"""Datasets made of files that hold no pixels, as producers read none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import pytest

from db.errors import WRONG_USE, WrongUse
from db.recipe import Recipe
from db.settings import Settings
from producer.dataset import Dataset, read_dataset
from producer.labels import Labels

IMAGENET = Labels(Recipe())
NO_CLASS = "is no class of the model (by wnid, name or index"
REMEDY = "--labels FILE gives labels, --labels none measures without, --classes FILE names the model's classes"


def settings(*, image_root: Path | None = None, url_schemes: str = "file", http_hosts: str | None = None) -> Settings:
    return Settings(image_root=image_root, url_schemes=url_schemes, http_hosts=http_hosts)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    return folder


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(location: Path | str, **given: Any) -> Dataset:
    return read_dataset(str(location), **{"labels": IMAGENET, "settings": settings()} | given)


def labels_of(dataset: Dataset) -> dict[str, int | None]:
    return {entry.path: entry.label for entry in dataset.entries}


def refusal(location: Path | str, **given: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        read(location, **given)
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def in_memory(files: dict[str, bytes], root: str) -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({f"/{root}/{path}": content for path, content in files.items()})
    try:
        yield f"memory://{root}"
    finally:
        filesystem.rm(f"/{root}", recursive=True)
