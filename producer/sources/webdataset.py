"""Tar files as a dataset source, with labels as WebDataset keeps them."""

import json
import tarfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from db.errors import WrongUse, one_line
from db.shards import Member, Span, storable
from producer.labels import Labels
from producer.place import File, Place
from producer.shards import Shards, label_of_name
from producer.sources.folder import SUFFIXES

#: Files that hold the label of a sample, and where in a .json it is: the first that is there counts.
LABEL_FILES = ("cls", "json")
LABEL_FIELDS = ("label", "cls")
#: The most bytes of such a file.
LABEL_LIMIT = 2**20


class Part(NamedTuple):
    """A file of a sample. WebDataset calls a sample what differs only in what comes after the first dot."""

    key: str
    extension: str
    name: str
    span: Span
    #: What is in it, if it may hold a label.
    content: bytes


class WebDataset(Shards):
    """.tar files of images; labels from KEY.cls or KEY.json beside KEY.jpg, or from names as in a flat folder."""

    name = "webdataset"
    looks_like = "a .tar file of images"
    suffix = ".tar"

    def members(self, folder: Place, file: File, labels: Labels | None) -> Iterator[tuple[Member, int | None]]:
        """The images in the tar's order. Of all else in it only labels are read.

        Raises:
            WrongUse: as for all shards; or if the tar is compressed or cut off.
        """
        where = f"{folder.shown}: {file.path}"
        with folder.open_bytes(file.path) as stream:
            try:
                with tarfile.open(fileobj=stream, mode="r:") as tar:
                    for _, parts in groupby(_parts(tar), key=lambda part: part.key):
                        for image, label in _sample(list(parts), labels, where):
                            yield Member(file.path, image.span, image.name), label
            except tarfile.TarError as error:
                raise WrongUse(f"{where}: damaged, or no tar without compression: {one_line(error)}") from None


def _parts(tar: tarfile.TarFile) -> Iterator[Part]:
    while (info := tar.next()) is not None:
        tar.members = []  # type: ignore[attr-defined]  # tarfile would keep them all in memory
        name = storable(info.name.removeprefix("./"))
        path = PurePosixPath(name)
        if not info.isreg() or info.issparse() or path.name.startswith("."):
            continue
        stem, _, extension = path.name.lower().partition(".")
        held = tar.extractfile(info) if extension in LABEL_FILES else None
        content = held.read(LABEL_LIMIT) if held else b""
        yield Part(str(path.with_name(stem)), extension, name, Span(info.offset_data, info.size), content)


def _sample(parts: list[Part], labels: Labels | None, where: str) -> Iterator[tuple[Part, int | None]]:
    """The images of a sample, each with its label: KEY.jpg, and KEY.SOMETHING.jpg only where there is no KEY.jpg."""
    images = [part for part in parts if f".{part.extension.rpartition('.')[2]}" in SUFFIXES]
    images = [part for part in images if "." not in part.extension] or images
    held = {part.extension: part for part in parts if part.content}
    value = next((_label(held[kind], where) for kind in LABEL_FILES if kind in held), None) if labels else None
    for image in images:
        if labels is None or value is not None:
            yield image, labels.read(value, f"{where}: {image.name}") if labels else None
        else:
            yield image, _label_of_path(image.name, labels, f"{where}: {image.name}")


def _label(part: Part, where: str) -> Any:
    """What a .cls or .json file says; None if it says nothing of a label."""
    try:
        if part.extension == "cls":
            return part.content.decode().strip()
        found = json.loads(part.content)
    except (ValueError, RecursionError):
        raise WrongUse(
            f"{where}: {part.name}: not readable as .{part.extension}; --labels none measures without"
        ) from None
    known = [found[field] for field in LABEL_FIELDS if field in found] if isinstance(found, dict) else []
    return next((value for value in known if value is not None), None)


def _label_of_path(name: str, labels: Labels, where: str) -> int | None:
    """The class that the name of the image says, or of a folder in the tar that it is in."""
    found = (label_of_name(part, labels, where) for part in reversed(PurePosixPath(name).parts))
    return next((label for label in found if label is not None), None)


MEMBER = WebDataset()
