"""A dataset: images under one root, each with a path, and a label or none."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from db.errors import WrongUse
from db.settings import Settings
from db.store import Entry
from producer.labels import Labels
from producer.manifest import HEADER, read_manifest
from producer.place import Place, Unreadable
from producer.sources import SOURCES, Contents, Found, source_of

#: `--labels none`: no label is read, whatever the names of folders and files or a manifest say.
NO_LABELS = "none"


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images under one root."""

    name: str
    #: The folder or URL at which workers find the images; relative to SMOOTHVOTE_IMAGE_ROOT where that is set.
    root: str
    entries: list[Entry]
    #: How many images there were before the limit.
    found: int
    #: sha256 over the path, size, version and label of every image. A changed image or label gives another dataset.
    fingerprint: str
    #: How many files were passed over because their names are not those of images.
    passed_over: int = 0

    @property
    def labelled(self) -> int:
        """How many images have a label."""
        return sum(entry.label is not None for entry in self.entries)


def read_dataset(
    location: str, *, labels: Labels, settings: Settings, labels_from: str | None = None, limit: int | None = None
) -> Dataset:
    """Reads the dataset at a folder, manifest or URL, by the first source that recognises it.

    Args:
        location: what the person named.
        labels: the model's classes.
        settings: the URL schemes that are allowed, and the image root.
        labels_from: a file of ``file_name,label`` whose labels replace the source's; or NO_LABELS.
        limit: at most so many images, spread evenly over the dataset, so that every class gets its share.

    Raises:
        WrongUse: if there is no image, or a label is not a class of the model.
    """
    place = Place.of(location, settings)
    try:
        contents = source_of(place).read(place, None if labels_from else labels, settings)
        contents.images = list(contents.images)
    except Unreadable as error:
        known = ", ".join(source.looks_like for source in SOURCES.values())
        raise WrongUse(f"{error}; name {known}, or a URL of these") from None
    if labels_from and labels_from != NO_LABELS:
        label_of = _labels_of_file(labels_from, [file.path for file, _ in contents.images], labels, settings)
        contents.images = [Found(file, label_of(file.path)) for file, _ in contents.images]
    return make_dataset(contents, limit=limit)


def make_dataset(contents: Contents, *, limit: int | None = None) -> Dataset:
    """The dataset of what a source found.

    Args:
        contents: the images, in order.
        limit: at most so many of them, spread evenly.

    Raises:
        WrongUse: if the label of an image is not a class of the model.
    """
    images = list(contents.images)
    found = len(images)
    count = min(limit or found, found)
    images = [images[number * found // count] for number in range(count)]
    entries = [Entry(path=file.path, label=label, bytes=file.size) for file, label in images]
    return Dataset(
        name=contents.name,
        root=contents.root,
        entries=entries,
        found=found,
        fingerprint=_fingerprint(images),
        passed_over=contents.passed_over,
    )


def _fingerprint(images: Sequence[Found]) -> str:
    """Part of every run's id: a byte more or less in here gives every recorded run another id."""
    digest = hashlib.sha256()
    for file, label in images:
        digest.update(json.dumps([*file, label]).encode() + b"\n")
    return digest.hexdigest()


def _labels_of_file(
    location: str, paths: Sequence[str], labels: Labels, settings: Settings
) -> Callable[[str], int | None]:
    """Labels by the rows of a file: those with the image's path, else those with its file name."""
    file = Place.of(location, settings)
    try:
        rows = read_manifest(file, labels)
    except Unreadable as error:
        raise WrongUse(f"--labels {error}; name a .csv or .jsonl file of {HEADER}, or `none`") from None

    def label_of(path: str) -> int | None:
        return rows.get(path, rows.get(PurePosixPath(path).name))

    if not any(path in rows or PurePosixPath(path).name in rows for path in paths):
        raise WrongUse(f"--labels {file.shown}: no row names an image of the dataset; {paths[0]} is one")
    return label_of
