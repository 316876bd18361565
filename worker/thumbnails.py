"""Thumbnails: small JPEGs of image files, without torch and without decoding more of a photograph than is shown."""

import io

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from worker.decode import DEEP_MODES, MAX_SIDE, opened, to_rgb, to_shares, turn_upright

#: An image is first reduced fast to at least so many times the wanted size, then resized well. A JPEG is not even
#: decoded larger than that.
REDUCING_GAP = 2.0


def make_thumbnail(data: bytes, side: int, *, max_pixels: int, max_side: int = MAX_SIDE) -> bytes:
    """Draws an image file, upright, as a JPEG that fits a square. Grey images are drawn whatever a recipe says of them.

    Args:
        data: the bytes of the file.
        side: of the square, in pixels. A smaller image keeps its size.
        max_pixels, max_side: limits, as for ``images.decode``.

    Raises:
        Unusable: as ``images.decode``.
    """
    with opened(data, max_pixels=max_pixels, max_side=max_side) as image:
        if isinstance(image, JpegImageFile):
            image.thumbnail((side, side), reducing_gap=REDUCING_GAP)
        turn_upright(image)
        # Other formats are decoded whole: resizing before the conversion would mix the numbers of a palette's colours.
        small = _from_shares(image) if image.mode in DEEP_MODES else to_rgb(image)
        small.thumbnail((side, side), reducing_gap=REDUCING_GAP)
    small.info.clear()  # Pillow would write the file's comment into the thumbnail
    return save(small, "JPEG")


def save(picture: Image.Image, form: str) -> bytes:
    """A picture as the bytes of a file in one of Pillow's formats."""
    file = io.BytesIO()
    picture.save(file, form, quality=85)
    return file.getvalue()


def _from_shares(image: Image.Image) -> Image.Image:
    return Image.fromarray((to_shares(image) * 255).round().astype(np.uint8))
