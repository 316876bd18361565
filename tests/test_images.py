import contextlib
import errno
import gzip
import http.server
import io
import os
import shutil
import socket
import stat
import struct
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from db.errors import Refusal
from db.settings import Settings
from db.store import Entry
from worker.images import MACHINE_ERRORS, MAX_SIDE, Pixels, Unusable, decode, find_root, read

GRADIENT = np.linspace(0, 255, 40 * 60, dtype=np.uint8).reshape(40, 60)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def opened(data: bytes, *, grayscale: str = "convert", max_pixels: int = 64_000_000) -> Pixels:
    return decode(data, grayscale=grayscale, max_pixels=max_pixels)


def color(*rgb: int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (60, 40), rgb if len(rgb) > 1 else rgb[0])


def test_pixels_are_upright_rgb_in_zero_to_one() -> None:
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


def test_floating_numbers_of_unknown_scale_are_refused_and_not_guessed() -> None:
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
    data[18:26] = struct.pack("<ii", 60_000, 60_000)  # a header that promises 3.6 thousand million pixels
    with pytest.raises(Unusable) as raised:
        opened(bytes(data))
    assert raised.value.code == "too_many_pixels"


def test_the_limit_of_pixels_is_the_settings() -> None:
    data = encoded(color(1, 2, 3), "PNG")
    assert opened(data, max_pixels=2400).image.shape == (3, 40, 60)
    with pytest.raises(Unusable, match="60×40; SMOOTHVOTE_MAX_PIXELS allows 2399"):
        opened(data, max_pixels=2399)


def test_the_limit_of_a_side_is_the_settings() -> None:
    data = encoded(color(1, 2, 3), "PNG")
    assert decode(data, grayscale="convert", max_pixels=2400, max_side=60).image.shape == (3, 40, 60)
    with pytest.raises(Unusable, match="too_long: 60×40; SMOOTHVOTE_MAX_SIDE allows 59 a side"):
        decode(data, grayscale="convert", max_pixels=2400, max_side=59)


def test_a_strip_of_few_pixels_is_refused_by_its_side() -> None:
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


def test_what_is_missing_of_an_image_is_not_filled_with_grey() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    with pytest.raises(Unusable, match="truncated"):
        opened(encoded(Image.fromarray(GRADIENT), "JPEG")[:-60])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# -- reading -----------------------------------------------------------------------------------------------------


def entry(path: str, size: int | None = None) -> Entry:
    return Entry(path=path, label=None, bytes=size)


def make_socket(file: Path) -> None:
    # Bound by its name alone: the whole path may be longer than a socket's can be.
    with contextlib.chdir(file.parent), socket.socket(socket.AF_UNIX) as made:
        made.bind(file.name)


def make_device(file: Path) -> None:
    try:
        os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # as /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


def test_the_bytes_of_a_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert read(str(tmp_path), entry("a.jpg", 5), Settings()) == b"12345"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda file: file.with_name("b.jpg").touch(), "missing"),
        (lambda file: file.touch(), "empty"),
        (lambda file: file.mkdir(), "not_a_file"),
        (os.mkfifo, "not_a_file"),
        (lambda file: file.symlink_to("/etc/hostname"), "outside_root"),
        (lambda file: file.symlink_to("/dev/zero"), "outside_root"),
        (lambda file: file.symlink_to("nowhere"), "missing"),
        (lambda file: file.symlink_to("a.jpg"), "unreadable"),
        (make_socket, "not_a_file"),
        (make_device, "not_a_file"),
        (lambda file: file.write_bytes(b"123456"), "changed"),
        (lambda file: file.write_bytes(b"1" * 101), "too_many_bytes"),
    ],
)
def test_what_cannot_be_read_is_a_coded_reason(tmp_path: Path, make: Callable[[Path], object], code: str) -> None:
    make(tmp_path / "a.jpg")
    with pytest.raises(Unusable) as raised:
        read(str(tmp_path), entry("a.jpg", 5 if code == "changed" else None), Settings(max_bytes=100))
    assert raised.value.code == code


def test_a_path_may_not_leave_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "images").mkdir()
    with pytest.raises(Unusable, match="outside_root"):
        read(str(tmp_path / "images"), entry("../secret.jpg"), Settings())


def test_a_link_may_lead_anywhere_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.jpg").write_bytes(b"12345")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.jpg").symlink_to("../all/a.jpg")
    assert read(str(tmp_path / "some"), entry("a.jpg"), Settings(image_root=tmp_path)) == b"12345"


def test_a_root_that_is_not_mounted_is_the_workers_fault_and_no_images() -> None:
    with pytest.raises(Refusal, match="SMOOTHVOTE_IMAGE_ROOT"):
        find_root("/nowhere/at/all", Settings())


def test_a_relative_root_is_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    assert find_root("val", Settings(image_root=tmp_path)) == str(tmp_path / "val")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "s3://bucket/images", "memory://images"])
def test_a_worker_reads_no_url_that_its_settings_do_not_allow(url: str) -> None:
    with pytest.raises(Refusal, match="SMOOTHVOTE_URL_SCHEMES"):
        find_root(url, Settings())


# -- a machine's faults, which are no image's ------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [False, True])
def test_a_folder_that_goes_away_is_the_machines_fault(tmp_path: Path, empty: bool) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"12345")
    root = find_root(str(tmp_path / "images"), Settings())
    shutil.rmtree(root)
    if empty:
        Path(root).mkdir()  # what an unmounted folder looks like
    with pytest.raises(Refusal, match="does not see the images at") as raised:
        read(root, entry("a.jpg"), Settings())
    assert "\n" not in str(raised.value)


def test_want_of_file_handles_is_the_machines_fault(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    script = """
        import os, resource, sys
        from db.errors import Refusal
        from db.settings import Settings
        from db.store import Entry
        from worker.images import read
        entry = Entry(path="a.jpg", label=None, bytes=None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        held = []
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            read(sys.argv[1], entry, Settings())
        except Refusal as reason:
            print(reason)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), tmp_path], cwd=Path(__file__).parent.parent,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == f"this worker cannot read below {tmp_path}: Too many open files\n", done.stderr


@pytest.mark.parametrize("number", sorted(MACHINE_ERRORS))
def test_a_failing_mount_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    # A mount that fails in each of these ways cannot be had in a test; what the system says of it can.
    with pytest.raises(Refusal, match="this worker cannot read below"):
        read_failing(tmp_path, number, monkeypatch)


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES])
def test_one_bad_file_is_no_fault_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    with pytest.raises(Unusable, match="unreadable"):
        read_failing(tmp_path, number, monkeypatch)


def read_failing(root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        read(str(root), entry("a.jpg"), Settings())


# -- behind URLs -------------------------------------------------------------------------------------------------


def test_a_file_url_is_its_folder_and_kept_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images" / "a.jpg").write_bytes(b"12345")
    root = find_root(f"file://{tmp_path}/my%20images", Settings())
    assert read(root, entry("a.jpg"), Settings()) == b"12345"
    with pytest.raises(Unusable, match="outside_root"):
        read(root, entry("a.jpg"), Settings(image_root=tmp_path / "elsewhere"))


def test_an_object_behind_a_url_is_read_and_a_missing_one_is_missing(tmp_path: Path) -> None:
    settings = Settings(url_schemes="memory", max_bytes=5)
    store = fsspec.filesystem("memory")
    store.pipe({f"/{tmp_path.name}/a.jpg": b"12345", f"/{tmp_path.name}/big.jpg": b"123456"})
    root = find_root(f"memory://{tmp_path.name}", settings)
    assert read(root, entry("a.jpg", 5), settings) == b"12345"
    for path, code in (("b.jpg", "missing"), ("big.jpg", "too_many_bytes"), ("../a.jpg", "outside_root")):
        with pytest.raises(Unusable, match=code):
            read(root, entry(path), settings)
    store.rm(f"/{tmp_path.name}", recursive=True)
    with pytest.raises(Refusal, match="there is nothing at memory://"):
        read(root, entry("a.jpg"), settings)


class Server(NamedTuple):
    url: str
    host: str
    #: What was asked of it.
    asked: list[str]


@contextmanager
def web_server(answers: Mapping[str, tuple[int, dict[str, str], bytes]]) -> Iterator[Server]:
    pytest.importorskip("aiohttp", reason="http needs aiohttp, which comes with smoothvote[s3]")
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Nothing: pytest shows what was asked."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"127.0.0.1:{server.server_port}"
    try:
        yield Server(f"http://{host}/images", host, asked)
    finally:
        server.shutdown()
        server.server_close()


def web(server: Server, **given: Any) -> Settings:
    return Settings(url_schemes="file,http", http_hosts=server.host, **given)


def test_an_image_is_read_from_a_host_that_is_allowed() -> None:
    with web_server({"/images/a.jpg": (200, {}, b"12345")}) as server:
        root = find_root(server.url, web(server))
        assert read(root, entry("a.jpg", 5), web(server)) == b"12345"


def test_no_request_reaches_a_host_that_is_not_allowed() -> None:
    with web_server({"/images/a.jpg": (200, {}, b"12345")}) as server:
        with pytest.raises(Refusal, match=r"SMOOTHVOTE_HTTP_HOSTS=127\.0\.0\.1 allows it"):
            find_root(server.url, Settings(url_schemes="http", http_hosts="localhost,127.0.0.1:1"))
        assert server.asked == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    with web_server({"/secret": (200, {}, b"secret"), "/images/b.jpg": (200, {}, b"12345")}) as other:
        secret = other.url.replace("images", "secret")
        with web_server({"/images/a.jpg": (status, {"Location": secret}, b"moved")}) as server:
            root = find_root(server.url, web(server))
            with pytest.raises(Refusal, match="its server sends elsewhere, which is not followed") as raised:
                read(root, entry("a.jpg"), web(server))
            assert "\n" not in str(raised.value)
            assert server.asked == ["/images/a.jpg"]
        assert other.asked == []


@pytest.mark.parametrize(
    ("status", "headers", "body", "code"),
    [
        (404, {}, b"", "missing"),
        (410, {}, b"", "missing"),
        (403, {}, b"", "unreadable"),
        (200, {}, b"", "empty"),
        (200, {}, b"1" * 101, "too_many_bytes"),
        # Unpacked, that is more than was announced.
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b"1" * 10_000), "too_many_bytes"),
    ],
)
def test_what_a_web_server_says_of_one_image_is_a_coded_reason(
    status: int, headers: dict[str, str], body: bytes, code: str
) -> None:
    with web_server({"/images/a.jpg": (status, headers, body)}) as server:
        with pytest.raises(Unusable) as raised:
            read(server.url, entry("a.jpg"), web(server, max_bytes=100))
        assert raised.value.code == code


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_web_server_in_trouble_is_no_images_fault(status: int) -> None:
    with (
        web_server({"/images/a.jpg": (status, {}, b"")}) as server,
        pytest.raises(Refusal, match="can it be reached"),
    ):
        read(server.url, entry("a.jpg"), web(server))


def test_a_web_server_that_is_down_is_no_images_fault() -> None:
    with web_server({}) as server:
        pass
    with pytest.raises(Refusal, match="can it be reached"):
        read(server.url, entry("a.jpg"), web(server))
