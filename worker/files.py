"""Files: finds a dataset's root on this machine and reads the bytes of its images, from a folder or behind a URL.

Two kinds of error. If one image is at fault, reading it raises Unusable, and only that image has no prediction. If the
machine is at fault (a mount is gone, a server does not answer), reading raises Refusal, and the job goes to another
worker.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

from db.errors import Refusal, WrongUse
from db.settings import Settings, is_http, shown_url, url_options
from db.store import Entry
from worker.unusable import Unusable

#: Errors of opening or reading a file that the mount, the network or this process causes, and not the file.
MACHINE_ERRORS = frozenset({
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE, errno.ENODEV,
    errno.ENOMEM, errno.ENOTCONN, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT,
})  # fmt: skip


def find_root(stored: str, settings: Settings) -> str:
    """Finds a dataset's root, a folder or a URL, on this machine.

    Args:
        stored: the root as the database has it. A relative folder lies below SMOOTHVOTE_IMAGE_ROOT.
        settings: for the image root, and for the URLs that may be read.

    Raises:
        Refusal: if this machine cannot reach the root; no image is at fault.
    """
    if "://" in stored:
        with _refusing(stored):
            settings.check_url(stored)
            filesystem, below = fsspec.core.url_to_fs(stored, **url_options(stored))
            # Called for its errors: a missing package or missing credentials show here. A web server is not asked,
            # because it need not answer for the address of a folder.
            if not is_http(stored):
                filesystem.exists(below)
        if not stored.lower().startswith("file://"):
            return stored
        stored = unquote(urlsplit(stored).path)  # from here on a folder like any other
    folder = Path(settings.image_root or "", stored)
    try:
        there, why = folder.is_dir(), ""
    except OSError as error:
        there, why = False, f" ({error.strerror})"
    if not there:
        remedy = "mount them there, or set SMOOTHVOTE_IMAGE_ROOT"
        if settings.image_root is None and not Path(stored).is_absolute():
            remedy = "the run was submitted with SMOOTHVOTE_IMAGE_ROOT set; set it to the same"
        raise Refusal(f"this machine does not see the images at {folder.absolute()}{why}: {remedy}")
    return str(folder)


def read(root: str, entry: Entry, settings: Settings) -> bytes:
    """Reads an image file.

    Args:
        root: as ``find_root`` returns it.
        entry: the image: its path below the root, and its size when it was submitted.
        settings: for the limit of bytes, and the folder that no path may leave.

    Raises:
        Unusable: missing, outside_root, not_a_file, empty, too_many_bytes, changed or unreadable.
        Refusal: if the machine cannot read, or the images are gone altogether.
    """
    try:
        data = _read_url(root, entry, settings) if "://" in root else _read_file(root, entry, settings)
    except FileNotFoundError:
        raise Unusable("missing", f"no such file: {entry.path}") from None
    except OSError as error:
        raise Unusable("unreadable", f"cannot read {entry.path}: {error.strerror or error}") from None
    if not data:
        raise Unusable("empty", "the file has no bytes")
    if entry.bytes is not None and len(data) != entry.bytes:
        raise Unusable(
            "changed", f"the file has {len(data)} bytes, but had {entry.bytes} when it was submitted: submit again"
        )
    return data


def _read_file(root: str, entry: Entry, settings: Settings) -> bytes:
    # os.path.realpath and not Path.resolve(): before Python 3.13, resolve() raises RuntimeError for a link to itself.
    path = Path(os.path.realpath(Path(root, entry.path)))
    above = Path(os.path.realpath(settings.image_root or root))
    if not path.is_relative_to(above):
        raise Unusable("outside_root", f"{entry.path} leads outside of {above}")
    try:
        return _read_regular(path, entry, settings)
    except OSError as error:
        # Opening a socket, or a device without a driver, fails with the same errors as a mount that is gone.
        if error.errno in (errno.ENXIO, errno.ENODEV) and os.path.exists(path) and not os.path.isfile(path):
            raise Unusable("not_a_file", f"{entry.path} is not a regular file") from None
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


def _read_regular(path: Path, entry: Entry, settings: Settings) -> bytes:
    # O_NONBLOCK: opening a FIFO would otherwise wait for ever.
    # O_NOFOLLOW: the path is resolved, so a link at its end was put there a moment ago.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Unusable("not_a_file", f"{entry.path} is not a regular file")
        _check_bytes(status.st_size, settings)
        with open(handle, "rb", closefd=False) as file:
            return file.read(settings.max_bytes + 1)
    finally:
        os.close(handle)


def _read_url(root: str, entry: Entry, settings: Settings) -> bytes:
    if ".." in PurePosixPath(unquote(entry.path)).parts:
        raise Unusable("outside_root", f"{entry.path} leads outside of {shown_url(root)}")
    with _refusing(root, Unusable, FileNotFoundError, PermissionError):
        filesystem, below = fsspec.core.url_to_fs(root, **url_options(root))
        path = f"{below}/{entry.path}"
        if is_http(root):
            return _read_stream(filesystem, path, settings)
        try:
            _check_bytes(int(filesystem.size(path) or 0), settings)
            data: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            if not filesystem.exists(below):
                raise Refusal(f"there is nothing at {shown_url(root)} any more") from None
            raise
        return data


def _read_stream(filesystem: Any, path: str, settings: Settings) -> bytes:
    """Reads over http up to the limit. The size that a server announces may be wrong, and asking hides errors."""
    data = bytearray()
    with filesystem.open(path, "rb", block_size=0, size=1) as file:  # with a size given, fsspec does not ask for it
        while len(data) <= settings.max_bytes and (part := file.read(settings.max_bytes + 1 - len(data))):
            data += part
    _check_bytes(len(data), settings)
    return bytes(data)


@contextmanager
def _refusing(root: str, *own_faults: type[Exception]) -> Iterator[None]:
    """Turns the errors of a store's client (no package, no credentials, no network) into Refusal.

    Args:
        root: the URL that is read.
        own_faults: errors that are one image's fault; they pass unchanged.
    """
    try:
        yield
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


def _check_bytes(size: int, settings: Settings) -> None:
    if size > settings.max_bytes:
        raise Unusable("too_many_bytes", f"{size} bytes; SMOOTHVOTE_MAX_BYTES allows {settings.max_bytes}")
