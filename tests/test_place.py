"""A place: how a path or URL is read, where workers find it, and which URLs are refused."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from folders import NO_CLASS, in_memory, labels_of, put, read, refusal, settings, write

from db.store import Entry


def test_a_folder_is_named_as_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine", "a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "mine")
    for location in (".", "../mine", "~/mine", f"{tmp_path}/mine/", f"{tmp_path}/mine/../mine"):
        dataset = read(location)
        assert (dataset.name, dataset.root) == ("mine", str(tmp_path / "mine"))


def test_the_home_of_an_unknown_user_is_refused_in_one_line() -> None:
    assert "no such user" in refusal("~no-such-user-here/images")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("none", "no such folder"),
        ("none/below", "no such folder"),
        ("photo.jpg", "not a folder"),
        ("none.csv", "no such file or folder"),
        ("none.jsonl", "no such file or folder"),
        ("folder.csv", "Is a directory"),
    ],
)
def test_a_place_that_is_not_there_is_named_with_the_remedy(tmp_path: Path, location: str, reason: str) -> None:
    write(tmp_path / "photo.jpg", b"12345")
    (tmp_path / "folder.csv").mkdir()
    assert refusal(tmp_path / location) == (
        f"{tmp_path / location}: {reason}; name a folder of images, a .csv or .jsonl manifest, "
        "an .arrow file, a .parquet file, a .tar file of images, or a URL of these"
    )


def test_a_file_url_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(f"file://{tmp_path}/none").startswith(f"file://{tmp_path}/none: no such folder; name a folder")


# -- image root ----------------------------------------------------------------------------------------------------


def test_below_the_image_root_a_root_is_relative(tmp_path: Path) -> None:
    folder = put(tmp_path / "sets" / "mine", "a.jpg")
    manifest = write(folder / "m.csv", "file_name\na.jpg\n")
    below = settings(image_root=tmp_path)
    assert read(folder, settings=below).root == "sets/mine"
    assert read(manifest, settings=below).root == "sets/mine"
    assert read(f"file://{folder}", settings=below).root == "sets/mine"
    assert read(folder, settings=settings(image_root=folder)).root == "."
    assert read(folder, settings=settings(image_root=tmp_path / "sets" / ".." / "sets")).root == "mine"


def test_the_image_root_may_be_relative_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "sets" / "mine", "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert read("sets/mine", settings=settings(image_root=Path("sets"))).root == "mine"


def test_a_folder_outside_the_image_root_is_refused(tmp_path: Path) -> None:
    folder = put(tmp_path / "sets-old", "a.jpg")
    message = refusal(folder, settings=settings(image_root=tmp_path / "sets"))
    assert message == (f"{folder} is not below SMOOTHVOTE_IMAGE_ROOT ({tmp_path}/sets), where workers look for images")
    assert "is not below SMOOTHVOTE_IMAGE_ROOT" in refusal(
        f"{tmp_path}/sets/../sets-old", settings=settings(image_root=tmp_path / "sets")
    )


# -- URLs ----------------------------------------------------------------------------------------------------------


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    folder = put(tmp_path / "my set", "tench/a b.jpg")
    assert read(f"file://{folder}") == read(folder)
    manifest = write(folder / "m.csv", "file_name,label\ntench/a b.jpg,3\n")
    assert read(f"file://{manifest}") == read(manifest)


def test_file_urls_are_unquoted(tmp_path: Path) -> None:
    put(tmp_path / "my images", "a.jpg")
    assert labels_of(read(f"file://{tmp_path}/my%20images")) == {"a.jpg": None}


def test_schemes_are_the_same_in_upper_case(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    assert labels_of(read(f"FILE://{tmp_path}")) == {"a.jpg": None}


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_behind_a_url(tmp_path: Path, end: str) -> None:
    files = {"tench/a.jpg": b"123", "goldfish/b.png": b"1", "notes.txt": b""}
    with in_memory(files, f"{tmp_path.name}/mine") as url:
        dataset = read(url + end, settings=settings(url_schemes="memory", image_root=tmp_path))
    assert (dataset.name, dataset.root) == ("mine", url)
    assert list(dataset.entries) == [
        Entry(path="goldfish/b.png", label=1, bytes=1),
        Entry(path="tench/a.jpg", label=0, bytes=3),
    ]
    assert (dataset.found, dataset.passed_over) == (2, 1)


def test_hidden_files_are_passed_over_behind_a_url_too() -> None:
    with in_memory({".h/x.jpg": b"1", "tench/a.jpg": b"1"}, "hidden") as url:
        assert labels_of(read(url, settings=settings(url_schemes="memory"))) == {"tench/a.jpg": 0}


def test_a_manifest_behind_a_url(tmp_path: Path) -> None:
    files = {"sub/a.jpg": b"123", "m.csv": b"\xef\xbb\xbffile_name,label\nsub/a.jpg,tench\nnone.jpg,\n"}
    with in_memory(files, tmp_path.name) as url:
        dataset = read(f"{url}/m.csv", settings=settings(url_schemes="memory"))
    assert (dataset.name, dataset.root) == ("m", url)
    assert list(dataset.entries) == [
        Entry(path="sub/a.jpg", label=0, bytes=3),
        Entry(path="none.jpg", label=None, bytes=None),
    ]


def test_a_bad_row_behind_a_url_is_named_with_its_line(tmp_path: Path) -> None:
    with in_memory({"m.csv": b"file_name,label\na.jpg,zoo\n"}, tmp_path.name) as url:
        message = refusal(f"{url}/m.csv", settings=settings(url_schemes="memory"))
    assert message.startswith(f"{url}/m.csv line 2: label 'zoo' {NO_CLASS}")


def test_nothing_behind_a_url_is_no_images(tmp_path: Path) -> None:
    message = refusal(f"memory://{tmp_path.name}/none", settings=settings(url_schemes="memory"))
    assert message.startswith(f"memory://{tmp_path.name}/none: no images in it")


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("http://example.org/images", "http"),
        ("https://example.org/m.csv", "https"),
        ("HTTP://example.org/images", "http"),
        ("memory://images", "memory"),
        ("s3://bucket/images", "s3"),
        ("gs://bucket/m.csv", "gs"),
        ("ftp://example.org/images", "ftp"),
    ],
)
def test_urls_are_refused_until_they_are_allowed(url: str, scheme: str) -> None:
    message = refusal(url)
    assert message.startswith(f"{url}: {scheme} URLs are not allowed here: SMOOTHVOTE_URL_SCHEMES=file,{scheme}")


@pytest.mark.parametrize(
    "url",
    [
        "zip://a::http://example.org/b.zip",
        # A chain is refused whatever it begins with: what it ends with is what is called.
        "file://a::http://example.org/b.zip",
        "simplecache::s3://bucket/images",
        "local::/images",
    ],
)
def test_chains_of_urls_are_refused(url: str) -> None:
    assert refusal(url, settings=settings(url_schemes="file,s3,zip,simplecache")).startswith(f"{url}: a URL with ::")


def test_settings_decide_which_urls_are_allowed(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.jpg")
    assert "file URLs are not allowed here: SMOOTHVOTE_URL_SCHEMES=s3,file" in refusal(
        f"file://{folder}", settings=settings(url_schemes="s3")
    )
    assert read(folder, settings=settings(url_schemes="s3")).found == 1


def test_the_error_of_a_cloud_client_is_one_line_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    pytest.importorskip("s3fs", reason="the s3 extra is not installed")
    message = refusal("s3://not a bucket!/images", settings=settings(url_schemes="s3"))
    assert message.startswith("s3://not a bucket!/images: ")
    assert "credentials" in message


# -- over http -----------------------------------------------------------------------------------------------------


@contextmanager
def web_server(folder: Path, sends_to: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """A web server over a folder, or one that sends everybody elsewhere; its host, and what was asked of it."""
    pytest.importorskip("aiohttp", reason="http needs aiohttp, which comes with smoothvote[s3]")
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            asked.append(self.path)
            if sends_to is None:
                return super().send_head()
            self.send_response(302)
            self.send_header("Location", sends_to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_: object) -> None:
            """Nothing: pytest shows what was asked."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def test_a_web_servers_folder_and_manifest_are_read_from_a_host_that_is_allowed(tmp_path: Path) -> None:
    put(tmp_path / "images", "tench/a.jpg", "goldfish/b.jpg", "readme.txt")
    write(tmp_path / "images" / "m.csv", "file_name,label\ntench/a.jpg,0\nnone.jpg,1\n")
    with web_server(tmp_path) as (host, _):
        allowed = settings(url_schemes="http", http_hosts=host)
        folder = read(f"http://{host}/images", settings=allowed)
        assert labels_of(folder) == {"goldfish/b.jpg": 1, "tench/a.jpg": 0}
        assert [entry.bytes for entry in folder.entries] == [5, 5]
        assert folder.root == f"http://{host}/images"
        manifest = read(f"http://{host}/images/m.csv", settings=allowed)
        assert [(entry.path, entry.bytes) for entry in manifest.entries] == [("tench/a.jpg", 5), ("none.jpg", None)]


def test_a_host_that_is_not_allowed_is_not_called(tmp_path: Path) -> None:
    with web_server(put(tmp_path, "a.jpg")) as (host, asked):
        message = refusal(f"http://{host}/", settings=settings(url_schemes="http", http_hosts="example.org"))
        assert "SMOOTHVOTE_HTTP_HOSTS=127.0.0.1 allows it" in message
        assert asked == []


@pytest.mark.parametrize("end", ["", "/m.csv"])
def test_a_redirect_of_an_allowed_host_is_not_followed(tmp_path: Path, end: str) -> None:
    put(tmp_path, "images/a.jpg")
    write(tmp_path / "images" / "m.csv", "file_name,label\na.jpg,0\n")
    with web_server(tmp_path) as (secret, asked), web_server(tmp_path, sends_to=f"http://{secret}") as (host, _):
        message = refusal(f"http://{host}/images{end}", settings=settings(url_schemes="http", http_hosts=host))
        assert "its server redirects, and redirects are not followed" in message
        assert asked == []


def test_a_web_server_that_is_down_is_an_error_and_not_an_empty_dataset(tmp_path: Path) -> None:
    with web_server(tmp_path) as (host, _):
        pass
    for end in ("", "/m.csv"):
        message = refusal(f"http://{host}/images{end}", settings=settings(url_schemes="http", http_hosts=host))
        assert message.startswith(f"http://{host}/images{end}: ")
