"""Image files become upright RGB pixels in [0, 1], or a coded reason why not."""

import io
import struct

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from db.settings import Settings
from worker.decode import MAX_SIDE
from worker.images import Pixels, decode
from worker.unusable import Unusable

GRADIENT = np.linspace(0, 255, 40 * 60, dtype=np.uint8).reshape(40, 60)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opened(data: bytes, *, grayscale: str = "convert", max_pixels: int = 64_000_000) -> Pixels:
    return decode(data, grayscale=grayscale, max_pixels=max_pixels)


def color(*rgb: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (60, 40), rgb if len(rgb) > 1 else rgb[0])


def test_pixels_are_rgb_from_zero_to_one() -> None:
    pixels = opened(encoded(color(255, 0, 51), "PNG")).image
    assert pixels.shape == (3, 40, 60)
    assert pixels.dtype == torch.float32
    assert pixels[:, 0, 0].tolist() == pytest.approx([1.0, 0.0, 0.2])


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_every_format_of_photographs_is_read(form: str) -> None:
    pixels = opened(encoded(color(200, 200, 200), form)).image
    assert pixels.mean().item() == pytest.approx(200 / 255, abs=0.02)


def test_the_digest_is_of_the_bytes() -> None:
    first, second = encoded(color(1, 2, 3), "PNG"), encoded(color(1, 2, 3), "BMP")
    assert opened(first).digest == opened(first).digest
    assert opened(first).digest != opened(second).digest


def test_grey_becomes_three_equal_channels() -> None:
    pixels = opened(encoded(Image.fromarray(GRADIENT), "PNG")).image
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_is_skipped_where_the_recipe_says_so(mode: str) -> None:
    with pytest.raises(Unusable) as raised:
        opened(encoded(Image.new(mode, (60, 40)), "PNG"), grayscale="skip")
    assert raised.value.code == "grayscale"


def test_colour_that_happens_to_be_grey_is_not_skipped() -> None:
    assert opened(encoded(color(9, 9, 9), "PNG"), grayscale="skip").image.shape == (3, 40, 60)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_cut_off(form: str) -> None:
    # Pillow's own convert("RGB") gives 254 on average of this ramp, which has 127.5.
    ramp = Image.fromarray(GRADIENT.astype(np.uint16) * 257)
    assert ramp.mode == "I;16"
    pixels = opened(encoded(ramp, form)).image
    assert torch.allclose(pixels[0], torch.from_numpy(GRADIENT) / 255, atol=1e-4)


def test_big_endian_sixteen_bits_are_read_too() -> None:
    samples = (GRADIENT.astype(">u2") * 257).tobytes()
    tags = [(256, 60), (257, 40), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 40), (279, len(samples))]
    entries = b"".join(struct.pack(">HHII", tag, 4, 1, value) for tag, value in tags)
    tiff = b"MM\0*" + struct.pack(">I", 8 + len(samples)) + samples + struct.pack(">H", len(tags)) + entries + b"\0" * 4
    assert torch.allclose(opened(tiff).image[2], torch.from_numpy(GRADIENT) / 255, atol=1e-4)


def test_floating_point_values_of_unknown_scale_are_refused() -> None:
    with pytest.raises(Unusable) as raised:
        opened(encoded(Image.fromarray(GRADIENT.astype(np.float32)), "TIFF"))
    assert raised.value.code == "unsupported_mode"
    shares = opened(encoded(Image.fromarray(GRADIENT.astype(np.float32) / 255), "TIFF")).image
    assert torch.allclose(shares[1], torch.from_numpy(GRADIENT) / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "form"),
    [
        (color(10, 200, 30, 0, mode="RGBA"), "PNG"),
        (color(10, 200, 30).convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
        (color(10, 200, 30, 128, mode="RGBA"), "WEBP"),
    ],
)
def test_alpha_is_dropped_and_palettes_are_resolved(image: Image.Image, form: str) -> None:
    pixels = opened(encoded(image, form, lossless=True, exact=True)).image
    assert pixels[:, 5, 5].tolist() == pytest.approx([10 / 255, 200 / 255, 30 / 255], abs=0.01)


def test_a_palette_with_transparency_is_read() -> None:
    image = color(10, 200, 30).convert("P", palette=Image.Palette.ADAPTIVE)
    assert opened(encoded(image, "PNG", transparency=bytes([0, 7]))).image.shape == (3, 40, 60)


def test_cmyk_is_converted() -> None:
    pixels = opened(encoded(color(0, 255, 255, 0, mode="CMYK"), "JPEG", quality=95)).image
    assert pixels[:, 5, 5].tolist() == pytest.approx([1, 0, 0], abs=0.05)


def test_an_animation_is_its_first_frame() -> None:
    frames = [color(255, 0, 0), color(0, 255, 0), color(0, 0, 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert opened(data).image[:, 5, 5].tolist() == pytest.approx([1, 0, 0], abs=0.02)


def test_a_photograph_is_turned_upright_by_its_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    image = Image.new("RGB", (64, 32))
    image.paste((255, 255, 255), (0, 0, 32, 32))  # the left half is white: upright, that is the top
    pixels = opened(encoded(image, "JPEG", exif=exif)).image
    assert pixels.shape == (3, 64, 32)
    assert pixels[:, :24].mean() > 0.95
    assert pixels[:, 40:].mean() < 0.05


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"this is no image at all", "not_an_image"),
        (b"%PDF-1.7", "not_an_image"),
        (b"\xff\xd8\xff", "not_an_image"),
        (encoded(Image.fromarray(GRADIENT), "JPEG")[:500], "truncated"),
        (encoded(Image.fromarray(GRADIENT), "PNG")[:-40], "truncated"),
        (encoded(Image.fromarray(GRADIENT), "TIFF")[:1000], "truncated"),
    ],
)
def test_broken_data_is_a_coded_reason(data: bytes, code: str) -> None:
    with pytest.raises(Unusable) as raised:
        opened(data)
    assert raised.value.code == code
    assert "\n" not in raised.value.message


def test_a_huge_image_is_refused_before_its_pixels_are_read() -> None:
    data = bytearray(encoded(Image.new("L", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<ii", 60_000, 60_000)  # a header that promises 3.6 billion pixels
    with pytest.raises(Unusable) as raised:
        opened(bytes(data))
    assert raised.value.code == "too_many_pixels"


def test_more_pixels_than_the_limit_are_refused() -> None:
    data = encoded(color(1, 2, 3), "PNG")
    assert opened(data, max_pixels=2400).image.shape == (3, 40, 60)
    with pytest.raises(Unusable, match="60×40; SMOOTHVOTE_MAX_PIXELS allows 2399"):
        opened(data, max_pixels=2399)


def test_a_longer_side_than_the_limit_is_refused() -> None:
    data = encoded(color(1, 2, 3), "PNG")
    assert decode(data, grayscale="convert", max_pixels=2400, max_side=60).image.shape == (3, 40, 60)
    with pytest.raises(Unusable, match="too_long: 60×40; SMOOTHVOTE_MAX_SIDE allows 59 a side"):
        decode(data, grayscale="convert", max_pixels=2400, max_side=59)


def test_a_long_strip_of_few_pixels_is_refused_by_default() -> None:
    assert Settings().max_side == MAX_SIDE
    with pytest.raises(Unusable) as raised:
        opened(encoded(Image.new("L", (MAX_SIDE + 1, 1)), "PNG"))
    assert raised.value.code == "too_long"


@pytest.mark.parametrize("form", ["PPM", "TGA", "ICO", "PCX", "SGI", "DDS", "EPS", "JPEG2000", "AVIF", "ICNS", "MSP"])
def test_no_other_format_is_opened(form: str) -> None:
    Image.init()
    mode = "1" if form == "MSP" else "RGB"
    data = encoded(Image.new(mode, (64, 64)), form)
    Image.open(io.BytesIO(data)).close()  # Pillow itself would
    with pytest.raises(Unusable) as raised:
        opened(data)
    assert raised.value.code == "not_an_image"


def test_a_truncated_image_is_refused_and_not_filled_with_grey() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.raises(Unusable, match="truncated"):
        opened(encoded(Image.fromarray(GRADIENT), "JPEG")[:-60])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
