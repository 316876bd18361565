"""Reading the bytes of images behind URLs: only where the settings allow it, without redirects, up to the limit."""

import gzip
import http.server
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pytest

from db.errors import Refusal
from db.settings import Settings
from db.store import Entry
from worker.files import find_root, read
from worker.unusable import Unusable


def entry(path: str, size: int | None = None) -> Entry:
    return Entry(path=path, label=None, bytes=size)


def test_a_file_url_is_its_folder_and_kept_below_the_image_root(tmp_path: Path) -> None:
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images" / "a.jpg").write_bytes(b"12345")
    root = find_root(f"file://{tmp_path}/my%20images", Settings())
    assert read(root, entry("a.jpg"), Settings()) == b"12345"
    with pytest.raises(Unusable, match="outside_root"):
        read(root, entry("a.jpg"), Settings(image_root=tmp_path / "elsewhere"))


def test_objects_behind_a_url_are_read_or_end_as_a_coded_reason(tmp_path: Path) -> None:
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
    #: The paths that were asked for.
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
            """Prints nothing: each test checks what was asked."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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
            with pytest.raises(Refusal, match="its server redirects, and redirects are not followed") as raised:
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
        # Unpacked, this is more than the server announced.
        (200, {"Content-Encoding": "gzip"}, gzip.compress(b"1" * 10_000, mtime=0), "too_many_bytes"),
    ],
)
def test_an_image_that_a_web_server_does_not_give_is_a_coded_reason(
    status: int, headers: dict[str, str], body: bytes, code: str
) -> None:
    with web_server({"/images/a.jpg": (status, headers, body)}) as server:
        with pytest.raises(Unusable) as raised:
            read(server.url, entry("a.jpg"), web(server, max_bytes=100))
        assert raised.value.code == code


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_of_the_web_server_blames_no_image(status: int) -> None:
    with (
        web_server({"/images/a.jpg": (status, {}, b"")}) as server,
        pytest.raises(Refusal, match="can it be reached"),
    ):
        read(server.url, entry("a.jpg"), web(server))


def test_a_web_server_that_is_down_blames_no_image() -> None:
    with web_server({}) as server:
        pass
    with pytest.raises(Refusal, match="can it be reached"):
        read(server.url, entry("a.jpg"), web(server))
