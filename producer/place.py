"""A place where a dataset is: a folder or file of this machine, or one behind a URL. It is listed, never decoded."""

import glob
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

import fsspec

from db.bounded import check_text
from db.errors import WrongUse
from db.settings import Settings, is_http, shown_url, url_options
from producer.progress import counted
from producer.rows import Rows
from producer.unreadable import Unreadable, cause_over_http, file_errors

#: The names under which file systems give the version of a file: a hash, a tag or a time.
VERSION_KEYS = ("ETag", "etag", "md5Hash", "LastModified", "Last-Modified", "mtime", "created")
#: Bytes in a manifest or a file of labels, at most: forty million rows or so.
LARGEST = 2 * 2**30
#: Threads that ask a server about single files, and how many files they are given at once.
THREADS, ASKED = 16, 1000


class File(NamedTuple):
    """A file below a place. Another size or version is another file."""

    path: str
    #: In bytes; None if the file is not there.
    size: int | None
    #: Time, tag or hash of its last change; None if the file is not there, or its server tells none.
    version: str | None


@dataclass(frozen=True)
class Place:
    """A folder, or a file in one."""

    #: As the person named it, without passwords: for messages.
    shown: str
    #: None for a folder of this machine.
    url: str | None
    #: Absolute; empty if there is a URL.
    folder: Path

    @classmethod
    def of(cls, location: str, settings: Settings) -> "Place":
        """The place that a person named by a path or a URL.

        Raises:
            WrongUse: if it is a URL that the settings do not allow.
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
        """The last part of its path."""
        return PurePosixPath(self.url or self.folder).name or "images"

    @property
    def parent(self) -> "Place":
        """The folder that it is in."""
        return Place(self.shown, self.url and self.url.rpartition("/")[0], self.folder.parent)

    def root(self, settings: Settings) -> str:
        """Where workers find it: a URL, or a folder, relative to SMOOTHVOTE_IMAGE_ROOT where that is set.

        Raises:
            WrongUse: if it is a folder outside SMOOTHVOTE_IMAGE_ROOT.
        """
        if self.url or settings.image_root is None:
            return self.url or str(self.folder)
        above = _absolute(str(settings.image_root))
        if not self.folder.is_relative_to(above):
            raise WrongUse(f"{self.shown} is not below SMOOTHVOTE_IMAGE_ROOT ({above}), where workers look for images")
        return self.folder.relative_to(above).as_posix()

    def find(self, suffixes: Collection[str], settings: Settings) -> tuple[Rows[File], int]:
        """The files in this folder and all folders below it whose names have one of the suffixes, sorted by path.

        Hidden files and folders are left out.

        Args:
            suffixes: in lower case, such as ``.jpg``; upper case in names is the same.
            settings: the image root.

        Returns:
            These files, and how many other files there are.

        Raises:
            Unreadable: if there is no such folder, or it cannot be read.
            WrongUse: if it is outside the image root, links out of it, or a file's name is not UTF-8.
        """
        self.root(settings)  # fails before a long listing, if workers do not look there
        others = 0

        def wanted() -> Iterator[File]:
            nonlocal others
            for file in _walk_url(self.url) if self.url else _walk_folder(self.folder, settings):
                if not _is_text(file.path):
                    raise WrongUse(f"{self.shown}: the name {file.path!r} is not UTF-8: rename that file")
                if file.path[file.path.rfind(".") :].lower() in suffixes:
                    yield file
                else:
                    others += 1

        with file_errors(self.shown, self.url):
            found: Rows[File] = Rows(File, counted(wanted(), "found"))
        found.sort("path")
        if self.url and is_http(self.url):  # a web server's list has no sizes and times
            found = Rows(File, self.files(file.path for file in found))
        return found, others

    def files(self, paths: Iterable[str]) -> Iterator[File]:
        """The files at these paths below the folder, in this order. A file that is not there has no size.

        Raises:
            Unreadable: if the place cannot be reached.
        """
        if self.url is None:
            yield from (_stat(f"{self.folder}/{path}", path) for path in paths)
            return
        with file_errors(self.shown, self.url), ThreadPoolExecutor(THREADS) as threads:
            stat, rest = _remote_stat(self.url), iter(paths)
            while some := list(islice(rest, ASKED)):
                yield from threads.map(stat, some)

    def match(self, pattern: str, settings: Settings) -> list[str]:
        """The paths below this folder that match a pattern with ``*``, sorted.

        Raises:
            Unreadable: if the place cannot be reached.
            WrongUse: for a link out of the image root, or out of this folder where no image root is set.
        """
        with file_errors(self.shown, self.url):
            if self.url:
                filesystem, below = fsspec.core.url_to_fs(self.url, **url_options(self.url))
                found = filesystem.glob(f"{below}/{pattern}")
                return sorted(path.removeprefix(below).lstrip("/") for path in found)
            kept_in = os.path.realpath(settings.image_root or self.folder)
            for path in (paths := sorted(glob.glob(pattern, root_dir=self.folder))):
                if not os.path.realpath(self.folder / path).startswith(os.path.join(kept_in, "")):
                    raise _leads_out(str(self.folder / path), kept_in)
            return paths

    @contextmanager
    def open_bytes(self, path: str) -> Iterator[IO[bytes]]:
        """A file below the folder, to read and to seek in.

        Raises:
            Unreadable: if it is not there, or cannot be read.
        """
        with file_errors(self.shown, self.url), self._open(path) as opened:
            yield opened

    def _open(self, path: str) -> Any:
        if self.url is None:
            if not (self.folder / path).is_file():  # a FIFO would be waited for
                raise Unreadable(f"{self.shown}: {path} is no file")
            return open(self.folder / path, "rb")
        filesystem, below = fsspec.core.url_to_fs(self.url, **url_options(self.url))
        return filesystem.open(f"{below}/{path}", "rb")

    @contextmanager
    def open_text(self) -> Iterator[IO[str]]:
        """The text of the file at this place, as UTF-8.

        Raises:
            Unreadable: if it is not there, or cannot be read, or is no ordinary file, or too large.
        """
        with file_errors(self.shown, self.url), cause_over_http(self.url or ""):
            where, options = self.url or str(self.folder), url_options(self.url or "")
            if self.url is None:
                check_text(self.folder, most=LARGEST)
            opened = fsspec.open(where, "rt", encoding="utf-8-sig", newline="", **options).open()
        with opened:
            yield opened


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
    kept_in = os.path.join(os.path.realpath(settings.image_root or folder), "")
    seen, left = set(), [""]
    # People make subsets of datasets by links to folders. Each folder is entered once, so that loops end.
    while left:
        above = left.pop()
        here = os.path.join(os.path.realpath(folder / above), "")
        if here in seen:
            continue
        seen.add(here)
        folders = []
        for entry in _entries(folder / above):
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(f"{above}{entry.name}/")
                continue
            target = os.path.realpath(entry.path) if entry.is_symlink() else here
            if not target.startswith(kept_in):
                raise _leads_out(entry.path, kept_in.rstrip("/"))
            yield _stat(entry, above + entry.name)
        left += sorted(folders, reverse=True)


def _leads_out(path: str, kept_in: str) -> WrongUse:
    # Workers read nothing outside the root: each would refuse this file.
    return WrongUse(
        f"{path} is a link out of {kept_in}; copy the files, or export SMOOTHVOTE_IMAGE_ROOT=FOLDER, a folder above both"
    )


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise PermissionError(error.errno, f"{error.filename}: {error.strerror}") from None


def _stat(file: "str | os.DirEntry[str]", shown: str) -> File:
    try:
        stat = os.stat(file) if isinstance(file, str) else file.stat()
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
    """The files below a web server's folder, by the links in its lists.

    fsspec's own walk asks for folders without a slash at the end, which servers answer with a redirect.
    """
    for info in filesystem.ls(folder + "/", detail=True):
        if info["type"] == "directory":
            yield from _walk_web(filesystem, info["name"].rstrip("/"))
        else:
            yield info["name"], info


def _remote_stat(url: str) -> Callable[[str], File]:
    filesystem, root = fsspec.core.url_to_fs(url, **url_options(url))

    def stat(path: str) -> File:
        try:
            with cause_over_http(url):
                return _remote_file(path, filesystem.info(f"{root}/{path}"))
        except FileNotFoundError:
            return File(path, None, None)

    return stat


def _remote_file(path: str, info: dict[str, Any]) -> File:
    version = next((info[key] for key in VERSION_KEYS if key in info), None)
    return File(path, info.get("size"), None if version is None else str(version))
