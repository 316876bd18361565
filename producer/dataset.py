"""A dataset as its producer finds it: images under one root, each with a path and a label or none.

A folder of class folders, a flat folder, a manifest, or a URL of these.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from db.errors import WrongUse
from db.settings import Settings
from db.store import Entry
from producer.labels import Labels
from producer.manifest import is_manifest, read_manifest
from producer.place import IMAGE_SUFFIXES, File, Place

#: `--labels none`: neither folders' nor files' names nor a manifest's rows are labels.
NO_LABELS = "none"

#: Gives the label of a path, or None.
LabelOf = Callable[[str], int | None]


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images under one root."""

    name: str
    #: A folder or URL as workers are to find it; relative to SMOOTHVOTE_IMAGE_ROOT where that is set.
    root: str
    entries: list[Entry]
    #: How many images there were before a limit.
    found: int
    #: sha256 over every image's path, size, time of change and label: another image or label is another dataset.
    fingerprint: str
    #: Files that were passed over, as no image's by their name.
    ignored: int = 0

    @property
    def labelled(self) -> int:
        """How many images have a label."""
        return sum(entry.label is not None for entry in self.entries)


def read_dataset(
    location: str, *, labels: Labels, settings: Settings, labels_from: str | None = None, limit: int | None = None
) -> Dataset:
    """Finds the images at a folder, manifest or URL, and their labels.

    Args:
        location: what the person named.
        labels: the model's classes.
        settings: for the URL schemes allowed, and the image root.
        labels_from: a file of ``file_name,label`` that overrides the layout's labels, or "none".
        limit: at most so many images, spread evenly over the dataset, so that every class has its share.

    Raises:
        WrongUse: if there is nothing to be found, or a label is not a class of the model.
    """
    place = Place.of(location, settings)
    wanted = None if labels_from else labels
    if is_manifest(place):
        name, root, ignored = PurePosixPath(place.name).stem, place.parent, 0
        rows = read_manifest(place, wanted)
        found = root.files(list(rows))
        label_of: LabelOf = rows.__getitem__
    else:
        name, root = place.name, place
        found, ignored = place.images(settings)
        if not found:
            kinds = " ".join(sorted(IMAGE_SUFFIXES))
            raise WrongUse(f"{place.shown}: no images in it (looked for {kinds}, in all folders below)")
        label_of = _label_by_layout(place.shown, [file.path for file in found], wanted) if wanted else _no_label
    if labels_from and labels_from != NO_LABELS:
        label_of = _label_by_file_of(Place.of(labels_from, settings), [file.path for file in found], labels)
    count = min(limit or len(found), len(found))
    chosen = [found[number * len(found) // count] for number in range(count)]
    return _dataset(name, root, chosen, label_of, settings, found=len(found), ignored=ignored)


def pick_dataset(name: str, folder: Path, paths: Sequence[str], label_of: LabelOf, settings: Settings) -> Dataset:
    """A dataset of named files below a folder, with labels of the caller's own finding."""
    place = Place(str(folder), None, folder)
    return _dataset(name, place, place.files(paths), label_of, settings, found=len(paths))


def _dataset(
    name: str,
    root: Place,
    files: Sequence[File],
    label_of: LabelOf,
    settings: Settings,
    *,
    found: int,
    ignored: int = 0,
) -> Dataset:
    entries = [Entry(path=file.path, label=label_of(file.path), bytes=file.size) for file in files]
    digest = hashlib.sha256()
    for file, entry in zip(files, entries, strict=True):
        digest.update(json.dumps([*file, entry.label]).encode() + b"\n")
    return Dataset(
        name=name,
        root=root.root(settings),
        entries=entries,
        found=found,
        fingerprint=digest.hexdigest(),
        ignored=ignored,
    )


def _no_label(path: str) -> None:
    return None


def _label_by_file_of(file: Place, paths: Sequence[str], labels: Labels) -> LabelOf:
    rows = read_manifest(file, labels)

    def label_of(path: str) -> int | None:
        return rows.get(path, rows.get(PurePosixPath(path).name))

    if not any(path in rows or PurePosixPath(path).name in rows for path in paths):
        raise WrongUse(f"--labels {file.shown}: no row names an image of the dataset; {paths[0]} is one")
    return label_of


def _label_by_layout(location: str, paths: Sequence[str], labels: Labels) -> LabelOf:
    """From the folders' names if images are in folders, else from the files'."""
    in_folders = [path for path in paths if "/" in path]
    depth, find = _class_folders(location, in_folders, labels) if in_folders else (0, labels.find)

    def label_of(path: str) -> int | None:
        if "/" in path:
            return find(path.split("/")[depth])
        try:
            return labels.by_file(PurePosixPath(path).stem)
        except KeyError as error:
            raise WrongUse(
                f"{location}: {path} begins with {error}, which is no class of the model; "
                "--labels none measures without labels"
            ) from None

    return label_of


def _class_folders(location: str, paths: Sequence[str], labels: Labels) -> tuple[int, LabelOf]:
    """At which depth the folders are classes, and how they name them: all of them must, in the same way."""
    folders = [path.split("/")[:-1] for path in paths]
    names = [sorted({parts[depth] for parts in folders}) for depth in range(min(map(len, folders)))]
    for find in labels.ways:
        for depth, some in enumerate(names):
            if all(find(name) is not None for name in some):
                return depth, find
    remedy = "--labels FILE gives labels, --labels none measures without, --classes FILE names the model's classes"
    # The depth at which most are classes is the one that was meant.
    meant = max(names, key=lambda some: sum(labels.find(name) is not None for name in some) / len(some))
    strange = [name for name in meant if labels.find(name) is None]
    if not strange:
        raise WrongUse(
            f"{location}: its folders name classes in several ways (wnid, name, index): use one; or {remedy}"
        )
    raise WrongUse(f"{location}: folder {strange[0]!r} is no class of the model (by wnid, name or index); {remedy}")
