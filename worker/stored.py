"""Stored files: opens a file below a dataset's root, in a folder or behind a URL.

Two kinds of error. If one file is at fault, it raises Unusable, FileNotFoundError or another OSError. If the machine is
at fault (a mount is gone, a server does not answer), it raises Refusal, and the job goes to another worker.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, Protocol
from urllib.parse import unquote

import fsspec

from db.errors import Refusal, WrongUse
from db.settings import Settings, shown_url, url_options
from worker.unusable import Unusable

#: Errors of opening or reading a file that the mount, the network or this process causes, and not the file.
MACHINE_ERRORS = frozenset({
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE, errno.ENODEV,
    errno.ENOMEM, errno.ENOTCONN, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT,
})  # fmt: skip


class Stored(Protocol):
    """An open file."""

    #: In bytes.
    size: int

    def read(self, first: int, count: int) -> bytes:
        """The bytes from ``first`` on, at most ``count`` of them."""

    def stream(self) -> IO[bytes]:
        """The file as an object that reads and seeks."""


def open_stored(root: str, path: str, settings: Settings) -> AbstractContextManager[Stored]:
    """Opens a file, of which parts can be read: not over http.

    Args:
        root: a folder or URL, as ``worker.files.find_root`` returns it.
        path: below the root.
        settings: for the folder that no path may leave.

    Raises:
        Unusable: outside_root or not_a_file.
        OSError: if this file cannot be read.
        Refusal: if the machine cannot read, or the files are gone altogether.
    """
    return _open_url(root, path) if "://" in root else _open_file(root, path, settings)


class _File:
    """A file of this machine."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle, self.size = handle, size

    def read(self, first: int, count: int) -> bytes:
        with self.stream() as file:
            file.seek(first)
            return file.read(count)

    def stream(self) -> IO[bytes]:
        return open(self._handle, "rb", closefd=False)


@contextmanager
def _open_file(root: str, shown: str, settings: Settings) -> Iterator[Stored]:
    # os.path.realpath and not Path.resolve(): before Python 3.13, resolve() raises RuntimeError for a link to itself.
    path = Path(os.path.realpath(Path(root, shown)))
    above = Path(os.path.realpath(settings.image_root or root))
    if not path.is_relative_to(above):
        raise Unusable("outside_root", f"{shown} leads outside of {above}")
    try:
        # O_NONBLOCK: opening a FIFO would otherwise wait for ever.
        # O_NOFOLLOW: the path is resolved, so a link at its end was put there a moment ago.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Unusable("not_a_file", f"{shown} is not a regular file")
            yield _File(handle, status.st_size)
        finally:
            os.close(handle)
    except OSError as error:
        # Opening a socket, or a device without a driver, fails with the same errors as a mount that is gone.
        if error.errno in (errno.ENXIO, errno.ENODEV) and os.path.exists(path) and not os.path.isfile(path):
            raise Unusable("not_a_file", f"{shown} is not a regular file") from None
        if error.errno in MACHINE_ERRORS:
            raise Refusal(f"this machine cannot read below {root}: {error.strerror}") from None
        if _is_gone(root):
            raise Refusal(f"this machine does not see the images at {root} any more: is their mount gone?") from None
        raise


def _is_gone(root: str) -> bool:
    """Whether a folder is missing or empty, as a mount point is when nothing is mounted."""
    try:
        with os.scandir(root) as found:
            return next(found, None) is None
    except PermissionError:
        return False  # a folder that may not be listed can still have readable files
    except OSError:
        return True


class _Object:
    """A file behind a URL."""

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        self.size = int(filesystem.size(path) or 0)

    def read(self, first: int, count: int) -> bytes:
        end = min(first + count, self.size)
        # Stores refuse to give no bytes.
        data: bytes = self._filesystem.cat_file(self._path, start=first, end=end) if first < end else b""
        return data

    def stream(self) -> IO[bytes]:
        # Who reads parts of a file knows which: no more is asked for.
        opened: IO[bytes] = self._filesystem.open(self._path, "rb", cache_type="none")
        return opened


@contextmanager
def _open_url(root: str, path: str) -> Iterator[Stored]:
    check_below(root, path)
    with refusing(root, Unusable, FileNotFoundError, PermissionError):
        filesystem, below = fsspec.core.url_to_fs(root, **url_options(root))
        try:
            yield _Object(filesystem, f"{below}/{path}")
        except FileNotFoundError:
            if not filesystem.exists(below):
                raise Refusal(f"there is nothing at {shown_url(root)} any more") from None
            raise


def check_bytes(size: int, settings: Settings) -> None:
    """Checks that an image's file is not too large.

    Raises:
        Unusable: too_many_bytes.
    """
    if size > settings.max_bytes:
        raise Unusable("too_many_bytes", f"{size} bytes; SMOOTHVOTE_MAX_BYTES allows {settings.max_bytes}")


def check_below(root: str, path: str) -> None:
    """Checks that a path stays below the URL.

    Raises:
        Unusable: outside_root.
    """
    if ".." in PurePosixPath(unquote(path)).parts:
        raise Unusable("outside_root", f"{path} leads outside of {shown_url(root)}")


@contextmanager
def refusing(root: str, *own_faults: type[Exception]) -> Iterator[None]:
    """Turns the errors of a store's client (no package, no credentials, no network) into Refusal.

    Args:
        root: the URL that is read.
        own_faults: errors that are one image's fault; they pass unchanged.
    """
    try:
        yield
    except Refusal:
        raise
    except own_faults:
        raise
    except WrongUse as reason:
        raise Refusal(f"this machine may not read {reason}") from None
    except Exception as error:
        # The clients' errors share no class, and their messages may hold keys: only the class is named.
        raise Refusal(
            f"this machine cannot read {shown_url(root)} ({type(error).__name__}): "
            "can it be reached, and are its packages and credentials here?"
        ) from None
