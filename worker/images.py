"""Images: from a path below a dataset's root to pixels in [0,1], or a coded reason why not.

A bad image costs itself, never its neighbours: everything that can be wrong with one ends as an Unusable.
"""

import errno
import hashlib
import io
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import fsspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from db.errors import Refusal, WrongUse, one_line
from db.settings import Settings, is_http, shown_url, url_options
from db.store import Entry

#: Pillow tries 40 formats, some through old native code; these are the ones that photographs come in.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
#: Where nothing else is said: as SMOOTHVOTE_MAX_SIDE where that is not set.
MAX_SIDE = 20_000
#: What opening or reading a file fails with when the fault is its mount's, the network's or this process's.
MACHINE_ERRORS = frozenset({
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EMFILE, errno.ENETDOWN, errno.ENETUNREACH, errno.ENFILE, errno.ENODEV,
    errno.ENOMEM, errno.ENOTCONN, errno.ENXIO, errno.ESTALE, errno.ETIMEDOUT,
})  # fmt: skip
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


class Quiet:
    """No warnings, in any thread, while one or more are inside: Python's own way leaves them off where threads meet."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.__exit__(None, None, None)


QUIET = Quiet()


class Unusable(Exception):
    """Why an image has no prediction: a code to count by, and a message to read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Pixels(NamedTuple):
    """An image as the model's users see it: upright, RGB."""

    #: (H, W, 3) on the CPU: bytes, or, of files with more than 8 bits, float32 in [0, 1].
    values: torch.Tensor
    #: sha256 of the file's bytes: what its noise is keyed by.
    digest: bytes

    @property
    def image(self) -> torch.Tensor:
        """(3, H, W) float32 in [0, 1]."""
        return to_unit(self.values.permute(2, 0, 1).contiguous())


def to_unit(values: torch.Tensor) -> torch.Tensor:
    """Bytes as float32 in [0, 1]; what is float already, as it is."""
    return values.float().div_(255) if values.dtype == torch.uint8 else values


def find_root(stored: str, settings: Settings) -> str:
    """A dataset's root as this machine has it.

    Raises:
        Refusal: if it is not here; its images are not at fault.
    """
    if "://" in stored:
        with _refusing(stored):
            settings.check_url(stored)
            filesystem, below = fsspec.core.url_to_fs(stored, **url_options(stored))
            # Asked for what it raises: want of a package or of credentials. A web server need have nothing at a folder.
            if not is_http(stored):
                filesystem.exists(below)
        if not stored.lower().startswith("file://"):
            return stored
        stored = unquote(urlsplit(stored).path)  # and kept below the image root as any folder
    folder = Path(settings.image_root or "", stored)
    try:
        there, why = folder.is_dir(), ""
    except OSError as error:
        there, why = False, f" ({error.strerror})"
    if not there:
        raise Refusal(
            f"this worker does not see the images at {folder.absolute()}{why}: "
            "mount them there, or set SMOOTHVOTE_IMAGE_ROOT"
        )
    return str(folder)


def read(root: str, entry: Entry, settings: Settings) -> bytes:
    """The bytes of an image.

    Raises:
        Unusable: missing, outside_root, not_a_file, empty, too_many_bytes, changed, unreadable.
        Refusal: if it is the machine that failed, or the images that are gone as a whole.
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
        raise Unusable("changed", f"the file has {len(data)} bytes, {entry.bytes} when it was submitted: submit again")
    return data


def _read_file(root: str, entry: Entry, settings: Settings) -> bytes:
    # Not Path.resolve(): before Python 3.13 a link that leads to itself ends it with a RuntimeError.
    path = Path(os.path.realpath(Path(root, entry.path)))
    above = Path(os.path.realpath(settings.image_root or root))
    if not path.is_relative_to(above):
        raise Unusable("outside_root", f"{entry.path} leads outside of {above}")
    try:
        return _read_regular(path, entry, settings)
    except OSError as error:
        # Of a socket, or a device without its driver, the system says what it says of a mount that is gone.
        if error.errno in (errno.ENXIO, errno.ENODEV) and os.path.exists(path) and not os.path.isfile(path):
            raise Unusable("not_a_file", f"{entry.path} is not a regular file") from None
        if error.errno in MACHINE_ERRORS:
            raise Refusal(f"this worker cannot read below {root}: {error.strerror}") from None
        if _is_gone(root):
            raise Refusal(f"this worker does not see the images at {root} any more: is their mount gone?") from None
        raise


def _is_gone(root: str) -> bool:
    """Whether there is nothing at all in a folder: what a mount leaves behind."""
    try:
        with os.scandir(root) as found:
            return next(found, None) is None
    except PermissionError:
        return False  # its files may be read all the same
    except OSError:
        return True


def _read_regular(path: Path, entry: Entry, settings: Settings) -> bytes:
    # Not blocking: a FIFO in the folder would hold the worker for ever.
    # No link either: the path is resolved already, and a link that is there now was put there since.
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
    """Over http a size is a claim, and asking for it hides what goes wrong: so it is read until it is too much."""
    data = bytearray()
    with filesystem.open(path, "rb", block_size=0, size=1) as file:  # any size: so none is asked for
        while len(data) <= settings.max_bytes and (part := file.read(settings.max_bytes + 1 - len(data))):
            data += part
    _check_bytes(len(data), settings)
    return bytes(data)


@contextmanager
def _refusing(root: str, *own_faults: type[Exception]) -> Iterator[None]:
    """What a store's client raises for want of a package, credentials or a network is no image's fault.

    Args:
        root: what is read.
        own_faults: what is an image's fault, and goes on as it is.
    """
    try:
        yield
    except own_faults:
        raise
    except WrongUse as reason:
        raise Refusal(f"this worker may not read {reason}") from None
    except Exception as error:
        # No common class; and its message may hold keys.
        raise Refusal(
            f"this worker cannot read {shown_url(root)} ({type(error).__name__}): "
            "can it be reached, and are its packages and credentials here?"
        ) from None


def _check_bytes(size: int, settings: Settings) -> None:
    if size > settings.max_bytes:
        raise Unusable("too_many_bytes", f"{size} bytes; SMOOTHVOTE_MAX_BYTES allows {settings.max_bytes}")


def decode(data: bytes, *, grayscale: str, max_pixels: int, max_side: int = MAX_SIDE) -> Pixels:
    """The pixels of an image file: first frame, upright by its EXIF orientation, RGB.

    Alpha is dropped and CMYK converted, as torchvision's and timm's loaders do; 16 bits are scaled, never cut off.

    Args:
        data: the file.
        grayscale: "convert", or "skip" to refuse images of one channel.
        max_pixels: of larger images nothing but the size is read.
        max_side: nor of longer ones.

    Raises:
        Unusable: not_an_image, too_many_pixels, too_long, truncated, out_of_memory, unsupported_mode, grayscale.
    """
    with QUIET:  # what Pillow warns of is either an error below, or does not touch the pixels
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > max_pixels:
                    raise Unusable("too_many_pixels", f"{width}×{height}; SMOOTHVOTE_MAX_PIXELS allows {max_pixels}")
                if max(width, height) > max_side:
                    raise Unusable("too_long", f"{width}×{height}; SMOOTHVOTE_MAX_SIDE allows {max_side} a side")
                if grayscale == "skip" and opened.mode in GREY_MODES:
                    raise Unusable("grayscale", f"one channel (mode {opened.mode}), and the recipe skips those")
                opened.load()
                image = ImageOps.exif_transpose(opened)
                pixels = _to_rgb(image)
        except Unusable:
            raise
        except UnidentifiedImageError:
            raise Unusable("not_an_image", f"not one of {', '.join(FORMATS)}") from None
        except Image.DecompressionBombError:
            raise Unusable(
                "too_many_pixels", f"more than Pillow opens; SMOOTHVOTE_MAX_PIXELS allows {max_pixels}"
            ) from None
        except MemoryError:
            raise Unusable("out_of_memory", "not enough memory to decode it") from None
        except Exception as error:
            # Pillow's decoders raise whatever their parser met: OSError, SyntaxError, ValueError, struct.error …
            raise Unusable("truncated", f"broken data: {one_line(error)}") from None
    return Pixels(torch.from_numpy(pixels), hashlib.sha256(data).digest())


def _to_rgb(image: Image.Image) -> NDArray[np.float32] | NDArray[np.uint8]:
    """(H, W, 3), as Pixels holds it."""
    if image.mode.startswith("I;16"):
        return _from_one_channel(np.asarray(image, dtype=np.float32) / np.float32(65535))
    if image.mode in ("I", "F"):
        # Whole or floating numbers of no known range: scaling them would be a guess.
        values = np.asarray(image)
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise Unusable(
                "unsupported_mode", f"mode {image.mode}, with values outside of [0, 1]: their scale is not known"
            )
        return _from_one_channel(values.astype(np.float32))
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may hold transparency in ways that only this reads
    return np.array(image.convert("RGB"))  # a copy: Pillow's own memory is not to be written to


def _from_one_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(values[:, :, None], 3, axis=2)
