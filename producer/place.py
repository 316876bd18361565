"""A place where images are: a folder of this machine, or one behind a URL. Names, sizes and times, never pixels."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import fsspec

from db.errors import SmoothvoteError, WrongUse
from db.settings import Settings, is_http, shown_url, url_options

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
#: What different stores call the mark of a file's version.
VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "Last-Modified", "mtime", "created")


class File(NamedTuple):
    """A file below a place, with what tells it from a later one of the same name."""

    path: str
    #: In bytes; None where it is not there.
    size: int | None
    #: Time or tag of its last change.
    version: str | None


@dataclass(frozen=True)
class Place:
    """A folder, or a file in one: as the person named it, and as it is found."""

    shown: str
    #: None for a folder of this machine.
    url: str | None
    folder: Path

    @classmethod
    def of(cls, location: str, settings: Settings) -> "Place":
        """The place that a person named.

        Raises:
            WrongUse: if it is a URL that is not allowed.
        """
        if "://" not in location and "::" not in location:
            return cls(location, None, _absolute(location))
        settings.check_url(location)
        scheme, _, rest = location.partition("://")
        scheme = scheme.lower()
        if scheme == "file":
            return cls(location, None, _absolute(unquote(urlsplit(location).path)))
        return cls(shown_url(location), f"{scheme}://{rest.rstrip('/')}", Path())

    @property
    def name(self) -> str:
        """Its last part."""
        return PurePosixPath(self.url or self.folder).name or "images"

    @property
    def parent(self) -> "Place":
        """The folder that it is in."""
        return Place(self.shown, self.url and self.url.rpartition("/")[0], self.folder.parent)

    def root(self, settings: Settings) -> str:
        """How workers are to find it: relative to SMOOTHVOTE_IMAGE_ROOT where that is set.

        Raises:
            WrongUse: if it is not below that.
        """
        if self.url or settings.image_root is None:
            return self.url or str(self.folder)
        above = _absolute(str(settings.image_root))
        if not self.folder.is_relative_to(above):
            raise WrongUse(f"{self.shown} is not below SMOOTHVOTE_IMAGE_ROOT ({above}), where workers look for images")
        return self.folder.relative_to(above).as_posix()

    def images(self, settings: Settings) -> tuple[list[File], int]:
        """Every image in all folders below, by its name, sorted; and how many other files there are.

        Raises:
            WrongUse: if there is no such folder, it cannot be read, or a name in it is not text.
        """
        self.root(settings)  # where no worker looks, nothing needs to be listed
        with errors(self):
            everything = sorted(_walk_url(self.url) if self.url else _walk_folder(self.folder, settings))
        for file in everything:
            if not _is_text(file.path):
                raise WrongUse(f"{self.shown}: the name {file.path!r} is not UTF-8: rename that file")
        found = [file for file in everything if PurePosixPath(file.path).suffix.lower() in IMAGE_SUFFIXES]
        ignored = len(everything) - len(found)
        if self.url and is_http(self.url):
            found = self.files([file.path for file in found])  # a list of links has no sizes and times
        return found, ignored

    def files(self, paths: Sequence[str]) -> list[File]:
        """The files at these paths below; one that is not there has no size: its worker finds it missing.

        Raises:
            WrongUse: if the place cannot be reached.
        """
        if self.url is None:
            return [_stat(self.folder / path, path) for path in paths]
        with errors(self), ThreadPoolExecutor(16) as threads:
            return list(threads.map(_remote_stat(self.url), paths))

    @contextmanager
    def open_text(self) -> Iterator[IO[str]]:
        """The text of the file at this place.

        Raises:
            WrongUse: if it cannot be read.
        """
        with errors(self), _what_happened(self.url or ""):
            where, options = self.url or str(self.folder), url_options(self.url or "")
            opened = fsspec.open(where, "rt", encoding="utf-8-sig", newline="", **options).open()
        with opened:
            yield opened


@contextmanager
def errors(place: Place) -> Iterator[None]:
    """Turns whatever a file system says into one line about the place."""
    remedy = "name a folder of images, a .csv or .jsonl manifest, or a URL of these"
    try:
        yield
    except SmoothvoteError:
        raise
    except FileNotFoundError:
        raise WrongUse(f"{place.shown}: no such file or folder; {remedy}") from None
    except OSError as error:
        raise WrongUse(f"{place.shown}: {error.strerror or error}; {remedy}") from None
    except Exception as error:
        # Behind a URL is somebody's client library: what it raises has no common class, and may hold its keys.
        if place.url is None:
            raise
        raise WrongUse(f"{place.shown}: {type(error).__name__}; are its packages and credentials here?") from None


@contextmanager
def _what_happened(url: str) -> Iterator[None]:
    """Over http fsspec says of whatever happens that there is no such file; here it is what did happen."""
    try:
        yield
    except FileNotFoundError as error:
        if is_http(url) and isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        raise


def _absolute(path: str) -> Path:
    try:
        return Path(os.path.abspath(Path(path).expanduser()))
    except RuntimeError:
        raise WrongUse(f"{path}: there is no such user") from None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk_folder(folder: Path, settings: Settings) -> Iterator[File]:
    if not folder.is_dir():
        raise NotADirectoryError(0, "not a folder" if folder.exists() else "no such folder")
    kept_in = os.path.realpath(settings.image_root or folder)
    seen = set()
    # Links to folders are followed, as people make subsets of them; each folder once, or a loop would never end.
    for above, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        if (here := os.path.realpath(above)) in seen:
            folders.clear()
            continue
        seen.add(here)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                path = Path(above, name)
                target = os.path.realpath(path) if path.is_symlink() else os.path.join(here, name)
                if not target.startswith(os.path.join(kept_in, "")):
                    # Workers would refuse it, as they keep to the root: better said here.
                    raise WrongUse(
                        f"{path} is a link out of {kept_in}: SMOOTHVOTE_IMAGE_ROOT names a folder that holds both"
                    )
                yield _stat(path, path.relative_to(folder).as_posix())


def _raise(error: OSError) -> None:
    raise PermissionError(error.errno, f"{error.filename}: {error.strerror}")


def _stat(path: Path, shown: str) -> File:
    try:
        stat = path.stat()
    except OSError:
        return File(shown, None, None)
    return File(shown, stat.st_size, str(stat.st_mtime_ns))


def _walk_url(url: str) -> Iterator[File]:
    filesystem, root = fsspec.core.url_to_fs(url, **url_options(url))
    found = _walk_web(filesystem, root) if is_http(url) else filesystem.find(root, detail=True).items()
    for whole, info in found:
        path = whole.removeprefix(root).lstrip("/")
        if not any(part.startswith(".") for part in path.split("/")):
            yield _remote_file(path, info)


def _walk_web(filesystem: Any, folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The links in a web server's list of a folder: fsspec's walk asks without the slash, and is sent elsewhere."""
    for info in filesystem.ls(folder + "/", detail=True):
        if info["type"] == "directory":
            yield from _walk_web(filesystem, info["name"].rstrip("/"))
        else:
            yield info["name"], info


def _remote_stat(url: str) -> Callable[[str], File]:
    filesystem, root = fsspec.core.url_to_fs(url, **url_options(url))

    def stat(path: str) -> File:
        try:
            with _what_happened(url):
                return _remote_file(path, filesystem.info(f"{root}/{path}"))
        except FileNotFoundError:
            return File(path, None, None)

    return stat


def _remote_file(path: str, info: dict[str, Any]) -> File:
    version = next((info[key] for key in VERSION_KEYS if key in info), None)
    return File(path, info.get("size"), None if version is None else str(version))
