"""Decoding: opens image files with Pillow, within limits, and turns them into arrays of RGB values. Needs no torch."""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from db.errors import one_line
from worker.unusable import Unusable

#: Formats of photographs. Pillow knows 40 more, some of them read by old native code.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
#: The default of SMOOTHVOTE_MAX_SIDE.
MAX_SIDE = 20_000
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
#: One channel with more than 8 bits: 16 bits, 32 bits or floating point.
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


class Quiet:
    """Silences warnings while at least one thread is inside.

    ``warnings.catch_warnings`` alone is not safe for threads: if two overlap, it can leave warnings silenced for good.
    """

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


@contextmanager
def opened(data: bytes, *, max_pixels: int, max_side: int = MAX_SIDE) -> Iterator[Image.Image]:
    """Opens an image file at its first frame. Pillow reads the pixels when the block first uses them.

    Args:
        data: the bytes of the file.
        max_pixels: of an image with more pixels, only the header is read.
        max_side: of an image with a longer side, only the header is read.

    Raises:
        Unusable: not_an_image, too_many_pixels, too_long, truncated or out_of_memory; also for errors inside the block.
    """
    with QUIET:  # Pillow's warnings are followed by an error, or do not concern the pixels
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise Unusable("too_many_pixels", f"{width}×{height}; SMOOTHVOTE_MAX_PIXELS allows {max_pixels}")
                if max(width, height) > max_side:
                    raise Unusable("too_long", f"{width}×{height}; SMOOTHVOTE_MAX_SIDE allows {max_side} a side")
                yield image
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
            # Pillow's decoders let any error of their parsers through: OSError, SyntaxError, ValueError, struct.error …
            raise Unusable("truncated", f"broken data: {one_line(error)}") from None


def turn_upright(image: Image.Image) -> None:
    """Rotates or mirrors an image, in place, as its EXIF orientation says."""
    ImageOps.exif_transpose(image, in_place=True)


def to_rgb(image: Image.Image) -> Image.Image:
    """An image of at most 8 bits a channel as RGB, as torchvision's and timm's loaders do it.

    Transparency is dropped, not blended; CMYK is converted.
    """
    if image.mode == "P":
        image = image.convert("RGBA")  # the only conversion that reads every kind of transparency in a palette
    return image if image.mode == "RGB" else image.convert("RGB")


def to_shares(image: Image.Image) -> NDArray[np.float32]:
    """The one channel of a deep image, (H, W) in [0, 1]. Pillow's own conversion would cut 16 bits off at 255.

    Raises:
        Unusable: unsupported_mode, if the values may have any range: to scale them would be to guess.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image, dtype=np.float32) / np.float32(65535)
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise Unusable(
            "unsupported_mode", f"mode {image.mode}, with values outside of [0, 1]: their scale is not known"
        )
    return values.astype(np.float32)
