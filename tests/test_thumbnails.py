"""Thumbnails are small upright JPEGs, made without torch and without decoding more of a photograph than is shown."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from worker.thumbnails import make_thumbnail
from worker.unusable import Unusable

LIMITS = {"max_pixels": 64_000_000}


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def halves(width: int, height: int) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, width // 2, height))
    return image


def drawn(data: bytes, side: int = 96, **limits: int) -> Image.Image:
    thumbnail = Image.open(io.BytesIO(make_thumbnail(data, side, **LIMITS | limits)))
    assert thumbnail.format == "JPEG"
    return thumbnail


def colours(picture: Image.Image, *points: tuple[int, int]) -> list[tuple[int, ...]]:
    """The colours at some points, each channel rounded to 0, 1 or 2 halves: a JPEG changes them a little."""
    values = np.asarray(picture.convert("RGB"))
    return [tuple(int(channel) for channel in (values[y, x] / 127.5).round()) for x, y in points]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_a_thumbnail_fits_the_square_and_shows_the_image(form: str) -> None:
    picture = drawn(encoded(halves(1200, 600), form))
    assert picture.size == (96, 48)
    assert colours(picture, (10, 24), (85, 24)) == [(2, 0, 0), (0, 0, 2)]


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_smaller_image_keeps_its_size(form: str) -> None:
    assert drawn(encoded(halves(40, 20), form)).size == (40, 20)


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_photograph_is_turned_upright_by_its_exif(form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise makes it upright: its left half is on top then
    picture = drawn(encoded(halves(1200, 600), form, exif=exif))
    assert picture.size == (48, 96)
    assert colours(picture, (24, 10), (24, 85)) == [(2, 0, 0), (0, 0, 2)]


def test_a_photograph_with_a_second_picture_inside_is_one_like_any_other() -> None:
    # Phones write MPO: a JPEG followed by a depth map or a second view.
    data = encoded(halves(1200, 600), "MPO", save_all=True, append_images=[Image.new("RGB", (1200, 600))])
    assert colours(drawn(data), (10, 24), (85, 24)) == [(2, 0, 0), (0, 0, 2)]


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_cut_off(form: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 400).astype(np.uint16), (200, 1))
    values = np.asarray(drawn(encoded(Image.fromarray(ramp), form)))
    assert values.shape == (48, 96)
    # Column x covers the shares x/96 to (x + 1)/96 of the ramp.
    assert values[24].tolist() == pytest.approx([255 * (x + 0.5) / 96 for x in range(96)], abs=4)


def test_transparent_pixels_keep_their_colour() -> None:
    # Resizing before dropping transparency would let the opaque half's colour bleed into the transparent one.
    image = halves(1200, 600).convert("RGBA")
    image.putalpha(Image.fromarray(np.repeat(np.uint8([[0, 255]]), 600, axis=1).repeat(600, axis=0)))
    assert colours(drawn(encoded(image, "PNG")), (10, 24), (46, 24), (85, 24)) == [(2, 0, 0), (2, 0, 0), (0, 0, 2)]


def test_a_grey_photograph_is_drawn_too() -> None:
    picture = drawn(encoded(Image.new("L", (1200, 600), 128), "JPEG"))
    assert colours(picture, (10, 24)) == [(1, 1, 1)]


def test_no_words_of_the_file_are_in_the_thumbnail() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    data = encoded(halves(1200, 600), "JPEG", exif=exif, comment=b"of my house")
    thumbnail = make_thumbnail(data, 96, **LIMITS)
    assert b"home" in data
    assert b"house" in data
    assert b"home" not in thumbnail
    assert b"house" not in thumbnail


@pytest.mark.parametrize(
    ("data", "limits", "code"),
    [
        (b"no image", {}, "not_an_image"),
        (encoded(halves(1200, 600), "JPEG")[:2000], {}, "truncated"),
        (encoded(halves(1200, 600), "JPEG"), {"max_pixels": 1200 * 600 - 1}, "too_many_pixels"),
        (encoded(halves(1200, 600), "JPEG"), {"max_side": 1199}, "too_long"),
        (encoded(Image.fromarray(np.full((4, 4), 2.5, np.float32)), "TIFF"), {}, "unsupported_mode"),
    ],
)
def test_the_limits_and_reasons_are_those_of_decoding(data: bytes, limits: dict[str, int], code: str) -> None:
    with pytest.raises(Unusable) as raised:
        make_thumbnail(data, 96, **LIMITS | limits)
    assert raised.value.code == code


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells a process its peak memory")
def test_a_photograph_of_24_megapixels_is_not_decoded_whole(tmp_path: Path) -> None:
    file = tmp_path / "large.jpg"
    halves(6000, 4000).save(file)
    script = """
import sys
from pathlib import Path
from worker.thumbnails import make_thumbnail
def peak():
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
data = Path(sys.argv[1]).read_bytes()
before = peak()
make_thumbnail(data, 192, max_pixels=10**9)
assert "torch" not in sys.modules
print((peak() - before) * 1024)
"""
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", script, file], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000_000  # decoded whole, it takes 72 MB and more
