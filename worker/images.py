"""Images: from a path below a dataset's root to pixels in [0,1], or a coded reason why not.

A bad image costs itself, never its neighbours: everything that can be wrong with one ends as an Unusable.
"""

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import fsspec
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from db.errors import Refusal, one_line
from db.settings import Settings
from db.store import Entry

#: Pillow tries 40 formats, some through old native code; these are the ones that photographs come in.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


class Unusable(Exception):
    """Why an image has no prediction: a code to count by, and a message to read."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Pixels(NamedTuple):
    """An image as the model's users see it: upright, RGB."""

    #: (3, H, W) float32 in [0, 1], on the CPU.
    image: torch.Tensor
    #: sha256 of the file's bytes: what its noise is keyed by.
    digest: bytes


def find_root(stored: str, settings: Settings) -> str:
    """A dataset's root as this machine has it.

    Raises:
        Refusal: if it is not here; its images are not at fault.
    """
    if "://" in stored:
        if stored.split("://")[0].lower() not in settings.schemes:
            raise Refusal(f"this worker may not read {stored}: SMOOTHVOTE_URL_SCHEMES has {settings.url_schemes}")
        with _refusing(stored):
            filesystem, below = fsspec.core.url_to_fs(stored)
            filesystem.exists(below)
        return stored
    folder = Path(settings.image_root or "", stored)
    if not folder.is_dir():
        raise Refusal(
            f"this worker does not see the images at {folder.absolute()}: mount them there, or set SMOOTHVOTE_IMAGE_ROOT"
        )
    return str(folder)


def read(root: str, entry: Entry, settings: Settings) -> bytes:
    """The bytes of an image.

    Raises:
        Unusable: missing, outside_root, not_a_file, empty, too_many_bytes, changed, unreadable.
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
    path = Path(root, entry.path).resolve()
    above = Path(settings.image_root or root).resolve()
    if not path.is_relative_to(above):
        raise Unusable("outside_root", f"{entry.path} leads outside of {above}")
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
    with _refusing(root):
        filesystem, below = fsspec.core.url_to_fs(root)
        path = f"{below}/{entry.path}"
        _check_bytes(int(filesystem.size(path) or 0), settings)
        data: bytes = filesystem.cat_file(path)
        return data


@contextmanager
def _refusing(root: str) -> Iterator[None]:
    """What a store's client raises for want of a package, credentials or a network is no image's fault."""
    try:
        yield
    except (Unusable, OSError):
        raise
    except Exception as error:
        # No common class; and its message may hold keys.
        raise Refusal(
            f"this worker cannot read {root} ({type(error).__name__}): are its packages and credentials here?"
        ) from None


def _check_bytes(size: int, settings: Settings) -> None:
    if size > settings.max_bytes:
        raise Unusable("too_many_bytes", f"{size} bytes; SMOOTHVOTE_MAX_BYTES allows {settings.max_bytes}")


def decode(data: bytes, *, grayscale: str, max_pixels: int) -> Pixels:
    """The pixels of an image file: first frame, upright by its EXIF orientation, RGB.

    Alpha is dropped and CMYK converted, as torchvision's and timm's loaders do; 16 bits are scaled, never cut off.

    Args:
        data: the file.
        grayscale: "convert", or "skip" to refuse images of one channel.
        max_pixels: of larger images nothing but the size is read.

    Raises:
        Unusable: not_an_image, too_many_pixels, truncated, unsupported_mode, grayscale.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is either an error below, or does not touch the pixels
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                width, height = opened.size
                if width * height > max_pixels:
                    raise Unusable("too_many_pixels", f"{width}×{height}; SMOOTHVOTE_MAX_PIXELS allows {max_pixels}")
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
    return Pixels(torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), hashlib.sha256(data).digest())


def _to_rgb(image: Image.Image) -> NDArray[np.float32]:
    """(H, W, 3) float32 in [0, 1]."""
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
    return np.asarray(image.convert("RGB"), dtype=np.float32) / np.float32(255)


def _from_one_channel(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(values[:, :, None], 3, axis=2)
