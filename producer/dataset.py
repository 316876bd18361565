"""A dataset as its producer finds it: images under one root, each with a path and a label or none.

A folder of class folders, a flat folder, a manifest, or a URL of these. Names, sizes and times are read; pixels never.
"""

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec

from db.errors import WrongUse
from db.settings import Settings
from db.store import Entry
from producer.labels import Labels

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MANIFEST_SUFFIXES = (".csv", ".jsonl")
#: `--labels none`: the folders' and files' names are not labels.
NO_LABELS = "none"
HEADER = "file_name,label"


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


class _File(NamedTuple):
    """One image, with what tells it from a later one of the same name: size in bytes, and time or tag of change."""

    path: str
    size: int | None
    version: str | None


@dataclass
class _Place:
    """Where a dataset is: a folder of this machine, or one behind a URL."""

    shown: str
    url: str | None
    folder: Path = field(default_factory=Path)

    @classmethod
    def of(cls, location: str, settings: Settings) -> "_Place":
        if "://" not in location and "::" not in location:
            return cls(shown=location, url=None, folder=Path(os.path.abspath(Path(location).expanduser())))
        scheme = location.split("://")[0].lower()
        if "::" in location or scheme not in settings.schemes:
            allowed = ", ".join(sorted(settings.schemes))
            raise WrongUse(
                f"{location}: {scheme} URLs are not allowed here, {allowed} are; SMOOTHVOTE_URL_SCHEMES changes that"
            )
        if scheme == "file":
            return cls(shown=location, url=None, folder=Path(location.removeprefix("file://")))
        return cls(shown=location, url=location.rstrip("/"))

    @property
    def name(self) -> str:
        return PurePosixPath(self.url or self.folder).name or "images"

    def parent(self) -> "_Place":
        above = self.url.rpartition("/")[0] if self.url else None
        return _Place(shown=self.shown, url=above, folder=self.folder.parent)


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
    place = _Place.of(location, settings)
    try:
        if location.endswith(MANIFEST_SUFFIXES):
            name, root = PurePosixPath(place.name).stem, place.parent()
            rows = _read_labels(place, labels)
            found, ignored = _stat(root, list(rows)), 0
            label_of: Callable[[str], int | None] = rows.__getitem__
        else:
            name, root = place.name, place
            found, ignored = _list(place)
            label_of = _label_by_layout(location, [file.path for file in found], labels, labels_from, settings)
    except OSError as error:
        raise WrongUse(
            f"{location}: {error.strerror or error}; name a folder of images, a .csv or .jsonl manifest, or a URL"
        ) from None
    except ImportError as error:
        raise WrongUse(f"{location}: {error}") from None
    if not found:
        kinds = " ".join(sorted(IMAGE_SUFFIXES))
        raise WrongUse(f"{location}: no images in it (looked for {kinds}, in all folders below)")
    if labels_from == NO_LABELS:
        label_of = _no_label
    chosen = [found[number * len(found) // limit] for number in range(limit)] if limit and limit < len(found) else found
    return _dataset(name, root, chosen, label_of, settings, found=len(found), ignored=ignored)


def pick_dataset(
    name: str, folder: Path, paths: Sequence[str], label_of: Callable[[str], int | None], settings: Settings
) -> Dataset:
    """A dataset of named files below a folder, with labels of the caller's own finding."""
    files = [_stat_file(folder / path, path) for path in paths]
    return _dataset(
        name, _Place(shown=str(folder), url=None, folder=folder), files, label_of, settings, found=len(files)
    )


def _dataset(
    name: str, root: _Place, files: Sequence[_File], label_of: Callable[[str], int | None], settings: Settings,
    *, found: int, ignored: int = 0,
) -> Dataset:  # fmt: skip
    entries = [Entry(path=file.path, label=label_of(file.path), bytes=file.size) for file in files]
    return Dataset(
        name=name,
        root=_stored_root(root, settings),
        entries=entries,
        found=found,
        fingerprint=_fingerprint(files, entries),
        ignored=ignored,
    )


def _fingerprint(files: Sequence[_File], entries: Sequence[Entry]) -> str:
    digest = hashlib.sha256()
    for file, entry in zip(files, entries, strict=True):
        digest.update(json.dumps([file.path, file.size, file.version, entry.label]).encode() + b"\n")
    return digest.hexdigest()


def _stored_root(root: _Place, settings: Settings) -> str:
    if root.url or settings.image_root is None:
        return root.url or str(root.folder)
    above = Path(os.path.abspath(settings.image_root))
    if not root.folder.is_relative_to(above):
        raise WrongUse(f"{root.shown} is not below SMOOTHVOTE_IMAGE_ROOT ({above}), where workers look for images")
    return root.folder.relative_to(above).as_posix()


# -- listing -----------------------------------------------------------------------------------------------------


def _list(place: _Place) -> tuple[list[_File], int]:
    everything = sorted(_walk_url(place.url) if place.url else _walk_folder(place.folder))
    files = [file for file in everything if PurePosixPath(file.path).suffix.lower() in IMAGE_SUFFIXES]
    return files, len(everything) - len(files)


def _walk_folder(folder: Path) -> Iterator[_File]:
    if not folder.is_dir():
        raise NotADirectoryError(0, "not a folder" if folder.exists() else "no such folder")
    for above, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                path = Path(above, name)
                yield _stat_file(path, path.relative_to(folder).as_posix())


def _stat_file(path: Path, shown: str) -> _File:
    try:
        stat = path.stat()
    except OSError:
        return _File(shown, None, None)  # a dangling link, say: the worker finds it missing, and records that
    return _File(shown, stat.st_size, str(stat.st_mtime_ns))


def _walk_url(url: str) -> Iterator[_File]:
    filesystem, root = fsspec.core.url_to_fs(url)
    for path, info in filesystem.find(root, detail=True).items():
        yield _remote_file(path.removeprefix(root).lstrip("/"), info)


def _remote_file(path: str, info: dict[str, Any]) -> _File:
    version = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if key in info), None
    )
    return _File(path, info.get("size"), None if version is None else str(version))


def _stat(root: _Place, paths: list[str]) -> list[_File]:
    if root.url is None:
        return [_stat_file(root.folder / path, path) for path in paths]
    filesystem, below = fsspec.core.url_to_fs(root.url)

    def stat(path: str) -> _File:
        try:
            return _remote_file(path, filesystem.info(f"{below}/{path}"))
        except FileNotFoundError:
            return _File(path, None, None)

    with ThreadPoolExecutor(16) as threads:
        return list(threads.map(stat, paths))


# -- labels ------------------------------------------------------------------------------------------------------


def _no_label(path: str) -> None:
    return None


def _label_by_layout(
    location: str, paths: list[str], labels: Labels, labels_from: str | None, settings: Settings
) -> Callable[[str], int | None]:
    if labels_from == NO_LABELS:
        return _no_label
    if labels_from:
        rows = _read_labels(_Place.of(labels_from, settings), labels)
        return lambda path: rows.get(path, rows.get(PurePosixPath(path).name))
    if paths and all("/" in path for path in paths):
        depth, find = _class_folders(location, paths, labels)
        return lambda path: find(path.split("/")[depth])
    return lambda path: _label_by_file(location, path, labels)


def _label_by_file(location: str, path: str, labels: Labels) -> int | None:
    try:
        return labels.by_file(PurePosixPath(path).stem)
    except KeyError as error:
        raise WrongUse(
            f"{location}: {path} begins with {error}, which is no class of the model; --labels none measures without labels"
        ) from None


def _class_folders(location: str, paths: list[str], labels: Labels) -> tuple[int, Callable[[str], int | None]]:
    """At which depth the folders are classes, and how they name them: all of them must, in the same way."""
    folders = [path.split("/")[:-1] for path in paths]
    shallowest = min(map(len, folders))
    for find in labels.ways:
        for depth in range(shallowest):
            if all(find(name) is not None for name in {parts[depth] for parts in folders}):
                return depth, find
    strange = next(parts[0] for parts in folders if labels.find(parts[0]) is None or labels.by_index(parts[0]) is None)
    raise WrongUse(
        f"{location}: folder {strange!r} is no class of the model (by wnid, name or index); "
        f"--labels FILE gives labels, --labels none measures without, --classes FILE names the model's classes"
    )


def _read_labels(file: _Place, labels: Labels) -> dict[str, int | None]:
    """Path → label of a .csv or .jsonl file, in its order."""
    rows: dict[str, int | None] = {}
    with fsspec.open(file.url or str(file.folder), "rt", encoding="utf-8-sig", newline="") as opened:
        for number, row in _rows(opened, file):
            where = f"{file.shown} line {number}"
            path = row.get("file_name")
            if not isinstance(path, str) or not path:
                raise WrongUse(f"{where}: no file_name; each row needs {HEADER} (the label may be empty)")
            path = PurePosixPath(path).as_posix()
            if path.startswith("/") or ".." in PurePosixPath(path).parts or "\0" in path:
                raise WrongUse(f"{where}: {path!r} leaves the manifest's folder; paths are relative to it")
            if path in rows:
                raise WrongUse(f"{where}: {path} is listed twice")
            rows[path] = _label(row.get("label"), labels, where)
    if not rows:
        raise WrongUse(f"{file.shown}: no rows in it; it needs a header {HEADER} and a row an image")
    return rows


def _rows(opened: Any, file: _Place) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        if file.name.endswith(".jsonl"):
            for number, line in enumerate(opened, 1):
                if line.strip():
                    row = json.loads(line)
                    yield number, row if isinstance(row, dict) else {}
            return
        table = csv.DictReader(opened)
        if "file_name" not in (table.fieldnames or ()):
            raise WrongUse(f"{file.shown}: its first line must be the header {HEADER}")
        for row in table:
            yield table.line_num, row
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise WrongUse(f"{file.shown}: not a UTF-8 {PurePosixPath(file.name).suffix} file: {error}") from None


def _label(value: Any, labels: Labels, where: str) -> int | None:
    if value is None or value == "":
        return None
    index = labels.find(str(value).strip()) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if index is None:
        raise WrongUse(
            f"{where}: label {value!r} is no class of the model (by wnid, name or index below {labels.count})"
        )
    return index
