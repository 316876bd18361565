"""Files: finds a dataset's root on this machine and reads the bytes of its images: whole files, or parts of shards.

Two kinds of error. If one image is at fault, reading it raises Unusable, and only that image has no prediction. If the
machine is at fault (a mount is gone, a server does not answer), reading raises Refusal, and the job goes to another
worker.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from db.errors import Refusal
from db.settings import Settings, is_http, url_options
from db.shards import folder_of_shards, shards_root
from db.store import Entry
from worker.shards import read_member
from worker.stored import check_below, check_bytes, open_stored, refusing
from worker.unusable import Unusable


def find_root(stored: str, settings: Settings) -> str:
    """Finds a dataset's root, a folder or a URL, on this machine.

    Args:
        stored: the root as the database has it. A relative folder lies below SMOOTHVOTE_IMAGE_ROOT.
        settings: for the image root, and for the URLs that may be read.

    Raises:
        Refusal: if this machine cannot reach the root; no image is at fault.
    """
    if (folder := folder_of_shards(stored)) is not None:
        return shards_root(find_root(folder, settings))
    return _find_url(stored, settings) if "://" in stored else _find_folder(stored, settings)


def _find_url(stored: str, settings: Settings) -> str:
    with refusing(stored):
        settings.check_url(stored)
        filesystem, below = fsspec.core.url_to_fs(stored, **url_options(stored))
        # Called for its errors: a missing package or missing credentials show here. A web server is not asked,
        # because it need not answer for the address of a folder.
        if not is_http(stored):
            filesystem.exists(below)
    if stored.lower().startswith("file://"):  # a folder like any other
        return _find_folder(unquote(urlsplit(stored).path), settings)
    return stored


def _find_folder(stored: str, settings: Settings) -> str:
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
    """Reads the bytes of an image file, which may be in a shard. Threads may call it at once.

    Args:
        root: as ``find_root`` returns it.
        entry: the image: its path below the root, and the size when it was submitted, of its file or its shard.
        settings: for the limit of bytes, and the folder that no path may leave.

    Raises:
        Unusable: missing, outside_root, not_a_file, empty, too_many_bytes, changed or unreadable.
        Refusal: if the machine cannot read, or the images are gone altogether.
    """
    folder = folder_of_shards(root)
    try:
        data = _read_whole(root, entry, settings) if folder is None else read_member(folder, entry, settings)
    except FileNotFoundError:
        raise Unusable("missing", f"no such file: {entry.path}") from None
    except OSError as error:
        raise Unusable("unreadable", f"cannot read {entry.path}: {error.strerror or error}") from None
    if not data:
        raise Unusable("empty", "the file has no bytes")
    return data


def _read_whole(root: str, entry: Entry, settings: Settings) -> bytes:
    if is_http(root):
        data = _read_http(root, entry.path, settings)
    else:
        with open_stored(root, entry.path, settings) as file:
            check_bytes(file.size, settings)
            data = file.read(0, settings.max_bytes + 1)
    if data and entry.bytes not in (None, len(data)):
        raise Unusable(
            "changed", f"the file has {len(data)} bytes, but had {entry.bytes} when it was submitted: submit again"
        )
    return data


def _read_http(root: str, path: str, settings: Settings) -> bytes:
    """Reads over http up to the limit. The size that a server announces may be wrong, and asking hides errors."""
    check_below(root, path)
    with refusing(root, Unusable, FileNotFoundError, PermissionError):
        filesystem, below = fsspec.core.url_to_fs(root, **url_options(root))
        data = bytearray()
        # With a size given, fsspec does not ask for it.
        with filesystem.open(f"{below}/{path}", "rb", block_size=0, size=1) as file:
            while len(data) <= settings.max_bytes and (part := file.read(settings.max_bytes + 1 - len(data))):
                data += part
        check_bytes(len(data), settings)
        return bytes(data)
