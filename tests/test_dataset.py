import hashlib
import http.server
import importlib.util
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest

from db.errors import WRONG_USE, WrongUse
from db.recipe import Recipe
from db.settings import Settings
from db.store import Entry
from producer.dataset import Dataset, pick_dataset, read_dataset
from producer.demo import demo_dataset
from producer.labels import Labels

IMAGENET = Labels(Recipe())
NO_CLASS = "is no class of the model (by wnid, name or index"
REMEDY = "--labels FILE gives labels, --labels none measures without, --classes FILE names the model's classes"


def settings(*, image_root: Path | None = None, url_schemes: str = "file", http_hosts: str | None = None) -> Settings:
    return Settings(image_root=image_root, url_schemes=url_schemes, http_hosts=http_hosts)


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    return folder


def write(file: Path, content: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def read(location: Path | str, **given: Any) -> Dataset:
    return read_dataset(str(location), **{"labels": IMAGENET, "settings": settings()} | given)


def labels_of(dataset: Dataset) -> dict[str, int | None]:
    return {entry.path: entry.label for entry in dataset.entries}


def refusal(location: Path | str, **given: Any) -> str:
    with pytest.raises(WrongUse) as caught:
        read(location, **given)
    assert caught.value.exit_code == WRONG_USE
    assert "\n" not in str(caught.value)
    return str(caught.value)


@contextmanager
def in_memory(files: dict[str, bytes], root: str) -> Iterator[str]:
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({f"/{root}/{path}": content for path, content in files.items()})
    try:
        yield f"memory://{root}"
    finally:
        filesystem.rm(f"/{root}", recursive=True)


# -- layouts: folders of classes ---------------------------------------------------------------------------------


def test_class_folders_by_wnid(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "n01443537/b.png", "n01440764/z.JPEG", "n01440764/a.jpg")
    dataset = read(folder)
    assert dataset.name == "mine"
    assert dataset.root == str(folder)
    assert dataset.entries == [
        Entry(path="n01440764/a.jpg", label=0, bytes=5),
        Entry(path="n01440764/z.JPEG", label=0, bytes=5),
        Entry(path="n01443537/b.png", label=1, bytes=5),
    ]
    assert (dataset.found, dataset.labelled, dataset.ignored) == (3, 3, 0)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["tench/a.jpg", "great_white_shark/b.jpg"], {"great_white_shark/b.jpg": 2, "tench/a.jpg": 0}),
        (["Tinca tinca/a.jpg", "GOLDFISH/b.jpg"], {"GOLDFISH/b.jpg": 1, "Tinca tinca/a.jpg": 0}),
        (["0/a.jpg", "999/b.jpg", "00007/c.jpg"], {"00007/c.jpg": 7, "0/a.jpg": 0, "999/b.jpg": 999}),
        (["val/n01440764/a.jpg", "val/n01443537/b.jpg"], {"val/n01440764/a.jpg": 0, "val/n01443537/b.jpg": 1}),
        (["train/3/a.jpg", "val/3/a.jpg", "val/4/b.jpg"], {"train/3/a.jpg": 3, "val/3/a.jpg": 3, "val/4/b.jpg": 4}),
        (["a/b/tench/c.jpg", "a/b/goldfish/d.jpg"], {"a/b/goldfish/d.jpg": 1, "a/b/tench/c.jpg": 0}),
        (["tench/2024/a.jpg", "goldfish/b.jpg"], {"goldfish/b.jpg": 1, "tench/2024/a.jpg": 0}),
        # A wnid is surer than the number above it.
        (["1/n01440764/a.jpg", "2/n01440764/a.jpg"], {"1/n01440764/a.jpg": 0, "2/n01440764/a.jpg": 0}),
    ],
    ids=["name", "synonym", "index", "val", "train and val", "deep", "folders in classes", "wnid below numbers"],
)
def test_class_folders(tmp_path: Path, names: list[str], labels: dict[str, int]) -> None:
    assert labels_of(read(put(tmp_path, *names))) == labels


def test_class_folders_of_classes_of_ones_own(tmp_path: Path) -> None:
    mine = Labels(Recipe(classes=("cat", "hot dog")))
    folder = put(tmp_path, "hot_dog/a.jpg", "cat/b.jpg")
    assert labels_of(read(folder, labels=mine)) == {"cat/b.jpg": 0, "hot_dog/a.jpg": 1}
    assert "folder 'cat' " in refusal(folder)


# -- layouts: flat folders ---------------------------------------------------------------------------------------


def test_a_flat_folder_of_wnid_and_name(tmp_path: Path) -> None:
    folder = put(tmp_path, "n01440764_tench.JPEG", "n01443537_goldfish.JPEG", "other.JPEG")
    assert labels_of(read(folder)) == {"n01440764_tench.JPEG": 0, "n01443537_goldfish.JPEG": 1, "other.JPEG": None}


def test_a_flat_folder_of_the_validation_set(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000293.JPEG"))
    assert labels_of(dataset) == {"ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000293.JPEG": 0}


def test_a_flat_folder_without_labels(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "b.jpg", "a.webp"))
    assert dataset.entries == [Entry(path="a.webp", label=None, bytes=5), Entry(path="b.jpg", label=None, bytes=5)]
    assert (dataset.found, dataset.labelled) == (2, 0)


def test_a_folder_is_named_as_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "mine", "a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / "mine")
    for location in (".", "../mine", "~/mine", f"{tmp_path}/mine/", f"{tmp_path}/mine/../mine"):
        dataset = read(location)
        assert (dataset.name, dataset.root) == ("mine", str(tmp_path / "mine"))


# -- what is passed over -----------------------------------------------------------------------------------------


def test_files_that_are_no_images_are_passed_over_and_counted(tmp_path: Path) -> None:
    folder = put(tmp_path, "tench/a.jpg", "tench/notes.txt", "README.md", "tench/jpg", "tench/b.jpg.part")
    dataset = read(folder)
    assert labels_of(dataset) == {"tench/a.jpg": 0}
    assert (dataset.found, dataset.ignored) == (1, 4)


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    folder = put(tmp_path, "tench/a.jpg", "tench/._a.jpg", ".thumbnails/b.jpg", "tench/.cache/c.jpg", ".d.jpg")
    dataset = read(folder)
    assert labels_of(dataset) == {"tench/a.jpg": 0}
    assert dataset.found == 1


@pytest.mark.parametrize("suffix", ["bmp", "gif", "jpeg", "jpg", "png", "tif", "tiff", "webp", "JPEG", "Png"])
def test_images_are_known_by_their_suffix(tmp_path: Path, suffix: str) -> None:
    assert labels_of(read(put(tmp_path, f"a.{suffix}", "b.txt"))) == {f"a.{suffix}": None}


def test_a_dangling_link_is_an_image_without_size(tmp_path: Path) -> None:
    folder = put(tmp_path, "tench/a.jpg")
    (folder / "tench/b.jpg").symlink_to(tmp_path / "gone.jpg")
    assert read(folder).entries == [
        Entry(path="tench/a.jpg", label=0, bytes=5),
        Entry(path="tench/b.jpg", label=0, bytes=None),
    ]


def test_a_link_to_an_image_is_that_image(tmp_path: Path) -> None:
    original = write(tmp_path / "original", b"123")
    folder = put(tmp_path / "mine", "tench/a.jpg")
    (folder / "tench/b.jpg").symlink_to(original)
    found = read(folder, settings=settings(image_root=tmp_path))
    assert found.entries[1] == Entry(path="tench/b.jpg", label=0, bytes=3)


# -- manifests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "file_name,label\nsub/b.jpg,tench\na.jpg,\nnone.jpg,1\n",
        "\ufefffile_name,label\r\nsub/b.jpg,tench\r\na.jpg,\r\nnone.jpg,1",
        "who,label,file_name\nada,n01440764,sub/b.jpg\nada,,a.jpg\nada,n01443537,none.jpg\n",
        'file_name,label\n"sub/b.jpg","tench, Tinca tinca"\n\n"a.jpg"\n"none.jpg"," 1 "\n',
        "file_name,label\n./sub//b.jpg,0\n./a.jpg,\nnone.jpg,goldfish\n",
    ],
    ids=["plain", "as Excel writes it", "columns in any order", "quotes and blank lines", "paths untidy"],
)
def test_a_csv_manifest(tmp_path: Path, content: str) -> None:
    manifest = write(put(tmp_path / "mine", "a.jpg", "sub/b.jpg", "c.jpg") / "set.csv", content)
    dataset = read(manifest)
    assert dataset.name == "set"
    assert dataset.root == str(tmp_path / "mine")
    # In the manifest's order, and only what is in it; a file that is missing is the worker's to record.
    assert dataset.entries == [
        Entry(path="sub/b.jpg", label=0, bytes=5),
        Entry(path="a.jpg", label=None, bytes=5),
        Entry(path="none.jpg", label=1, bytes=None),
    ]
    assert (dataset.found, dataset.labelled, dataset.ignored) == (3, 2, 0)


@pytest.mark.parametrize("begin", ["", "\ufeff"], ids=["plain", "BOM"])
def test_a_jsonl_manifest(tmp_path: Path, begin: str) -> None:
    lines = (
        '{"file_name": "sub/b.jpg", "label": 0}',
        '{"file_name": "a.jpg", "label": "goldfish", "who": ["ada"]}',
        "",
        '{"file_name": "c.jpg", "label": null}',
        '{"file_name": "d.jpg"}',
        '{"file_name": "\\u00e4.jpg", "label": ""}',
    )
    manifest = write(put(tmp_path, "a.jpg", "sub/b.jpg") / "set.jsonl", begin + "\n".join(lines))
    dataset = read(manifest)
    assert (dataset.name, dataset.root) == ("set", str(tmp_path))
    assert dataset.entries == [
        Entry(path="sub/b.jpg", label=0, bytes=5),
        Entry(path="a.jpg", label=1, bytes=5),
        Entry(path="c.jpg", label=None, bytes=None),
        Entry(path="d.jpg", label=None, bytes=None),
        Entry(path="ä.jpg", label=None, bytes=None),
    ]


def test_a_manifest_without_labels(tmp_path: Path) -> None:
    assert labels_of(read(write(tmp_path / "m.csv", "file_name\na.jpg\nb.jpg\n"))) == {"a.jpg": None, "b.jpg": None}


def test_a_manifests_indices_are_the_models(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", "file_name,label\na.jpg,1\nb.jpg,cat\n")
    assert labels_of(read(manifest, labels=Labels(Recipe(classes=("cat", "dog"))))) == {"a.jpg": 1, "b.jpg": 0}


# -- --labels ----------------------------------------------------------------------------------------------------


def test_labels_from_a_file_beat_the_layout(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "tench/a.jpg", "tench/b.jpg", "zoo/c.jpg")
    labels = write(tmp_path / "labels.csv", "file_name,label\ntench/a.jpg,5\nc.jpg,goldfish\nelsewhere.jpg,7\n")
    dataset = read(folder, labels_from=str(labels))
    # c.jpg is known without its folder; what the file does not name has no label, whatever its folder says.
    assert labels_of(dataset) == {"tench/a.jpg": 5, "tench/b.jpg": None, "zoo/c.jpg": 1}
    assert dataset.root == str(folder)


def test_labels_of_a_whole_path_beat_those_of_a_name(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "x/a.jpg", "y/a.jpg")
    labels = write(
        tmp_path / "labels.jsonl", '{"file_name": "a.jpg", "label": 1}\n{"file_name": "x/a.jpg", "label": 2}'
    )
    assert labels_of(read(folder, labels_from=str(labels))) == {"x/a.jpg": 2, "y/a.jpg": 1}


def test_an_empty_label_of_a_file_is_none(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "tench/a.jpg")
    labels = write(tmp_path / "labels.csv", "file_name,label\ntench/a.jpg,\n")
    assert labels_of(read(folder, labels_from=str(labels))) == {"tench/a.jpg": None}


@pytest.mark.parametrize("name", ["tench/a.jpg", "zoo/a.jpg", "n01440764_tench.jpg", "n99999999_zoo.jpg"])
def test_labels_none_measures_without(tmp_path: Path, name: str) -> None:
    dataset = read(put(tmp_path, name), labels_from="none")
    assert labels_of(dataset) == {name: None}
    assert dataset.labelled == 0


def test_labels_none_beats_a_manifest(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", "file_name,label\na.jpg,1\n")
    assert labels_of(read(manifest, labels_from="none")) == {"a.jpg": None}


def test_a_bad_label_in_a_file_of_labels_is_named_with_its_line(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", "file_name,label\na.jpg,1\nb.jpg,zoo\n")
    message = refusal(put(tmp_path / "mine", "a.jpg"), labels_from=str(labels))
    assert message.startswith(f"{labels} line 3: label 'zoo' {NO_CLASS} below 1000)")


def test_labels_from_http_are_refused(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, "a.jpg"), labels_from="http://example.org/labels.csv")
    assert message.startswith("http://example.org/labels.csv: http URLs are not allowed here")


# -- limit -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "paths"),
    [
        (1, ["0/0.jpg"]),
        (2, ["0/0.jpg", "2/0.jpg"]),
        (4, ["0/0.jpg", "1/0.jpg", "2/0.jpg", "3/0.jpg"]),
        (5, ["0/0.jpg", "0/1.jpg", "1/1.jpg", "2/0.jpg", "3/0.jpg"]),
        (8, ["0/0.jpg", "0/1.jpg", "1/0.jpg", "1/1.jpg", "2/0.jpg", "2/1.jpg", "3/0.jpg", "3/1.jpg"]),
    ],
)
def test_a_limit_is_spread_evenly(tmp_path: Path, limit: int, paths: list[str]) -> None:
    folder = put(tmp_path, *(f"{label}/{number}.jpg" for label in range(4) for number in range(2)))
    dataset = read(folder, limit=limit)
    assert [entry.path for entry in dataset.entries] == paths
    assert [entry.label for entry in dataset.entries] == [int(path[0]) for path in paths]
    assert dataset.found == 8


@pytest.mark.parametrize("limit", [None, 3, 4])
def test_a_limit_above_what_is_there_is_none(tmp_path: Path, limit: int | None) -> None:
    folder = put(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    assert read(folder, limit=limit) == read(folder)


def test_a_limit_holds_for_a_manifest(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", "file_name,label\n" + "".join(f"{n}.jpg,{n}\n" for n in range(6)))
    dataset = read(manifest, limit=3)
    assert (labels_of(dataset), dataset.found) == ({"0.jpg": 0, "2.jpg": 2, "4.jpg": 4}, 6)


# -- fingerprint -------------------------------------------------------------------------------------------------


def one_image(folder: Path) -> Path:
    put(folder, "tench/a.jpg")
    os.utime(folder / "tench/a.jpg", (7, 7))
    return folder


def test_a_fingerprint_is_of_path_size_time_and_label(tmp_path: Path) -> None:
    # Written out: whatever changes this text makes every recorded dataset another one.
    line = '["tench/a.jpg", 5, "7000000000", 0]\n'
    assert read(one_image(tmp_path)).fingerprint == hashlib.sha256(line.encode()).hexdigest()


def test_a_fingerprint_is_not_of_the_folders_place(tmp_path: Path) -> None:
    here = one_image(tmp_path / "here")
    there = tmp_path / "far" / "away"
    shutil.copytree(here, there)
    assert read(there).fingerprint == read(here).fingerprint
    assert read(there, settings=settings(image_root=tmp_path)).fingerprint == read(here).fingerprint
    assert read(f"file://{there}").fingerprint == read(here).fingerprint


def test_files_that_are_passed_over_do_not_change_a_dataset(tmp_path: Path) -> None:
    folder = one_image(tmp_path)
    before = read(folder).fingerprint
    put(folder, "notes.txt", ".hidden.jpg")
    assert read(folder).fingerprint == before


def grow(folder: Path) -> None:
    (folder / "tench/a.jpg").write_bytes(b"123456")
    os.utime(folder / "tench/a.jpg", (7, 7))


def touch(folder: Path) -> None:
    os.utime(folder / "tench/a.jpg", ns=(7_000_000_000, 7_000_000_001))


def rename(folder: Path) -> None:
    (folder / "tench/a.jpg").rename(folder / "tench/b.jpg")


def relabel_by_folder(folder: Path) -> None:
    (folder / "tench").rename(folder / "goldfish")


def add(folder: Path) -> None:
    put(folder, "tench/b.jpg")


def dangle(folder: Path) -> None:
    (folder / "tench/a.jpg").unlink()
    (folder / "tench/a.jpg").symlink_to("gone")


@pytest.mark.parametrize("change", [grow, touch, rename, relabel_by_folder, add, dangle])
def test_a_changed_image_is_another_dataset(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = one_image(tmp_path)
    before = read(folder).fingerprint
    change(folder)
    assert read(folder).fingerprint != before


def test_a_changed_label_is_another_dataset(tmp_path: Path) -> None:
    folder = one_image(tmp_path)
    prints = [read(folder).fingerprint, read(folder, labels_from="none").fingerprint]
    for label in ("1", "2"):
        manifest = write(folder / "m.csv", f"file_name,label\ntench/a.jpg,{label}\n")
        prints += [read(manifest).fingerprint]
    assert len(set(prints)) == 4
    same = write(folder / "same.csv", "file_name,label\ntench/a.jpg,tench\n")
    assert read(same).fingerprint == prints[0]


def test_a_part_is_another_dataset_than_the_whole(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.jpg", "b.jpg")
    assert read(folder, limit=1).fingerprint != read(folder).fingerprint


# -- image root --------------------------------------------------------------------------------------------------


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


def test_outside_the_image_root_is_where_no_worker_looks(tmp_path: Path) -> None:
    folder = put(tmp_path / "sets-old", "a.jpg")
    message = refusal(folder, settings=settings(image_root=tmp_path / "sets"))
    assert message == (f"{folder} is not below SMOOTHVOTE_IMAGE_ROOT ({tmp_path}/sets), where workers look for images")
    assert "is not below SMOOTHVOTE_IMAGE_ROOT" in refusal(
        f"{tmp_path}/sets/../sets-old", settings=settings(image_root=tmp_path / "sets")
    )


# -- URLs --------------------------------------------------------------------------------------------------------


def test_a_file_url_is_the_folder(tmp_path: Path) -> None:
    folder = put(tmp_path / "my set", "tench/a b.jpg")
    assert read(f"file://{folder}") == read(folder)
    manifest = write(folder / "m.csv", "file_name,label\ntench/a b.jpg,3\n")
    assert read(f"file://{manifest}") == read(manifest)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_behind_a_url(tmp_path: Path, end: str) -> None:
    files = {"tench/a.jpg": b"123", "goldfish/b.png": b"1", "notes.txt": b""}
    with in_memory(files, f"{tmp_path.name}/mine") as url:
        dataset = read(url + end, settings=settings(url_schemes="memory", image_root=tmp_path))
    assert (dataset.name, dataset.root) == ("mine", url)
    assert dataset.entries == [
        Entry(path="goldfish/b.png", label=1, bytes=1),
        Entry(path="tench/a.jpg", label=0, bytes=3),
    ]
    assert (dataset.found, dataset.ignored) == (2, 1)


def test_a_manifest_behind_a_url(tmp_path: Path) -> None:
    files = {"sub/a.jpg": b"123", "m.csv": b"\xef\xbb\xbffile_name,label\nsub/a.jpg,tench\nnone.jpg,\n"}
    with in_memory(files, tmp_path.name) as url:
        dataset = read(f"{url}/m.csv", settings=settings(url_schemes="memory"))
    assert (dataset.name, dataset.root) == ("m", url)
    assert dataset.entries == [
        Entry(path="sub/a.jpg", label=0, bytes=3),
        Entry(path="none.jpg", label=None, bytes=None),
    ]


def test_labels_from_behind_a_url(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.jpg")
    with in_memory({"labels.jsonl": b'{"file_name": "a.jpg", "label": 4}'}, tmp_path.name) as url:
        dataset = read(folder, labels_from=f"{url}/labels.jsonl", settings=settings(url_schemes="memory"))
    assert labels_of(dataset) == {"a.jpg": 4}


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


# -- over http ---------------------------------------------------------------------------------------------------


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
def test_an_allowed_host_that_sends_elsewhere_is_not_followed(tmp_path: Path, end: str) -> None:
    put(tmp_path, "images/a.jpg")
    write(tmp_path / "images" / "m.csv", "file_name,label\na.jpg,0\n")
    with web_server(tmp_path) as (secret, asked), web_server(tmp_path, sends_to=f"http://{secret}") as (host, _):
        message = refusal(f"http://{host}/images{end}", settings=settings(url_schemes="http", http_hosts=host))
        assert "its server sends elsewhere, which is not followed" in message
        assert asked == []


def test_a_web_server_that_is_down_is_wrong_use_and_not_missing_images(tmp_path: Path) -> None:
    with web_server(tmp_path) as (host, _):
        pass
    for end in ("", "/m.csv"):
        message = refusal(f"http://{host}/images{end}", settings=settings(url_schemes="http", http_hosts=host))
        assert message.startswith(f"http://{host}/images{end}: ")


# -- wrong use ---------------------------------------------------------------------------------------------------


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
def test_a_place_where_nothing_is(tmp_path: Path, location: str, reason: str) -> None:
    write(tmp_path / "photo.jpg", b"12345")
    (tmp_path / "folder.csv").mkdir()
    assert refusal(tmp_path / location) == (
        f"{tmp_path / location}: {reason}; name a folder of images, a .csv or .jsonl manifest, or a URL of these"
    )


def test_a_file_url_where_nothing_is(tmp_path: Path) -> None:
    assert refusal(f"file://{tmp_path}/none").startswith(f"file://{tmp_path}/none: no such folder; name a folder")


@pytest.mark.parametrize("names", [[], ["notes.txt", "data/tench.npy"], [".hidden/a.jpg"]], ids=["", "other", "hidden"])
def test_a_folder_without_images(tmp_path: Path, names: list[str]) -> None:
    assert refusal(put(tmp_path, *names)) == (
        f"{tmp_path}: no images in it (looked for .bmp .gif .jpeg .jpg .png .tif .tiff .webp, in all folders below)"
    )


@pytest.mark.parametrize(
    ("names", "folder"),
    [
        (["aardvark/a.jpg", "tench/b.jpg"], "aardvark"),
        (["1000/a.jpg"], "1000"),
        (["crane/a.jpg", "tench/b.jpg"], "crane"),
        (["n00000000/a.jpg", "n01440764/b.jpg"], "n00000000"),
        (["Tenchfish/a.jpg"], "Tenchfish"),
    ],
)
def test_a_folder_that_is_no_class(tmp_path: Path, names: list[str], folder: str) -> None:
    assert refusal(put(tmp_path, *names)) == f"{tmp_path}: folder {folder!r} {NO_CLASS}); {REMEDY}"


def test_a_flat_file_of_a_wnid_that_is_no_class(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, "n01440764_tench.JPEG", "n99999999_zoo.JPEG"))
    assert message == (
        f"{tmp_path}: n99999999_zoo.JPEG begins with 'n99999999', which is no class of the model; "
        "--labels none measures without labels"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.jpg,1\nb.jpg,2\n", ": its first line must be the header file_name,label"),
        ("", ": its first line must be the header file_name,label"),
        ("file_name;label\na.jpg;1\n", ": its first line must be the header file_name,label"),
        ("file_name,label\n", ": no rows in it; it needs file_name,label and a row an image"),
        (
            "file_name,label\na.jpg,zoo\n",
            f" line 2: label 'zoo' {NO_CLASS} below 1000); --labels none measures without",
        ),
        (
            "file_name,label\na.jpg,1\n\nb.jpg,1000\n",
            f" line 4: label '1000' {NO_CLASS} below 1000); --labels none measures without",
        ),
        ("file_name,label\na.jpg,-1\n", f" line 2: label '-1' {NO_CLASS} below 1000); --labels none measures without"),
        (
            "file_name,label\na.jpg,1.0\n",
            f" line 2: label '1.0' {NO_CLASS} below 1000); --labels none measures without",
        ),
        (
            "file_name,label\na.jpg,crane\n",
            f" line 2: label 'crane' {NO_CLASS} below 1000); --labels none measures without",
        ),
        ("file_name,label\n../a.jpg,1\n", " line 2: '../a.jpg' leaves the manifest's folder; paths are relative to it"),
        ("file_name\na/../../b\n", " line 2: 'a/../../b' leaves the manifest's folder; paths are relative to it"),
        ("file_name\na/..\n", " line 2: 'a/..' leaves the manifest's folder; paths are relative to it"),
        ("file_name\n/etc/a.jpg\n", " line 2: '/etc/a.jpg' leaves the manifest's folder; paths are relative to it"),
        ("file_name,label\na.jpg,1\nb.jpg,1\na.jpg,1\n", " line 4: a.jpg is listed twice"),
        ("file_name,label\na.jpg,1\n./a.jpg,2\n", " line 3: a.jpg is listed twice"),
        ("file_name,label\n,1\n", " line 2: no file_name; each row needs file_name,label (the label may be empty)"),
    ],
)
def test_a_wrong_csv_manifest_is_told_the_line(tmp_path: Path, content: str, message: str) -> None:
    manifest = write(tmp_path / "m.csv", content)
    assert refusal(manifest) == f"{manifest}{message}"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], ": no rows in it; "),
        ([{"file_name": "a.jpg", "label": 1000}], f" line 1: label 1000 {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg", "label": -1}], f" line 1: label -1 {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg", "label": True}], f" line 1: label True {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg", "label": 1.0}], f" line 1: label 1.0 {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg", "label": [1]}], f" line 1: label [1] {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg", "label": "a\nb"}], f" line 1: label 'a\\nb' {NO_CLASS} below 1000)"),
        ([{"file_name": "a.jpg"}, {"file": "b.jpg"}], " line 2: no file_name; each row needs file_name,label"),
        ([{"file_name": 3}], " line 1: no file_name; "),
        ([["a.jpg", 1]], " line 1: no file_name; "),
        ([{"file_name": "a.jpg"}, {"file_name": "../b.jpg"}], " line 2: '../b.jpg' leaves the manifest's folder; "),
        ([{"file_name": "/b.jpg"}], " line 1: '/b.jpg' leaves the manifest's folder; paths are relative to it"),
        ([{"file_name": "a\0.jpg"}], " line 1: 'a\\x00.jpg' leaves the manifest's folder; "),
        ([{"file_name": "a.jpg"}, {"file_name": "a.jpg"}], " line 2: a.jpg is listed twice"),
    ],
)
def test_a_wrong_jsonl_manifest_is_told_the_line(tmp_path: Path, rows: list[Any], message: str) -> None:
    manifest = write(tmp_path / "m.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert refusal(manifest).startswith(f"{manifest}{message}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("m.csv", b"file_name,label\ncaf\xe9.jpg,1\n", ": not UTF-8 text: save it as UTF-8"),
        ("m.csv", b"\xff\xfef\0i\0l\0e\0", ": not UTF-8 text: save it as UTF-8"),
        ("m.csv", b"file_name,label\n" + b"a" * 200_000 + b",1\n", " line 2: field larger than"),
        ("m.csv", b'file_name,label\n"a.jpg,1\n', " line 2: unexpected end of data"),
        ("m.jsonl", b'{"file_name": "caf\xe9.jpg"}\n', ": not UTF-8 text: save it as UTF-8"),
        ("m.jsonl", b'{"file_name": "b.jpg"}\n\n{file_name: a.jpg}\n', " line 3: not JSON: "),
        ("m.jsonl", b'{"file_name": "a.jpg"\n', " line 1: not JSON: "),
        ("m.jsonl", b"file_name,label\na.jpg,1\n", " line 1: not JSON: "),
        ("m.jsonl", b'{"label": ' + b"9" * 5000 + b"}\n", " line 1: not JSON that can be read"),
        ("m.jsonl", b"[" * 100_000, " line 1: not JSON that can be read"),
    ],
    ids=lambda value: value.decode(errors="replace")[:20] if isinstance(value, bytes) else None,
)
def test_a_manifest_that_cannot_be_parsed_is_named(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    manifest = write(tmp_path / name, content)
    assert refusal(manifest).startswith(f"{manifest}{said}")


def test_true_is_no_class_even_where_one_is_called_so(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.jsonl", '{"file_name": "a.jpg", "label": true}')
    message = refusal(manifest, labels=Labels(Recipe(classes=("false", "true"))))
    assert message == f"{manifest} line 1: label True {NO_CLASS} below 2); --labels none measures without"


# -- datasets that are picked ------------------------------------------------------------------------------------


def test_picked_files_keep_their_order_and_labels(tmp_path: Path) -> None:
    put(tmp_path, "b_2.jpg", "a_1.jpg", "c_3.jpg")
    dataset = pick_dataset("mine", tmp_path, ["b_2.jpg", "a_1.jpg"], lambda path: int(path[2]), settings())
    assert (dataset.name, dataset.root, dataset.found) == ("mine", str(tmp_path), 2)
    assert dataset.entries == [Entry(path="b_2.jpg", label=2, bytes=5), Entry(path="a_1.jpg", label=1, bytes=5)]


@pytest.mark.skipif(importlib.util.find_spec("foolbox") is None, reason="the demo's photographs come with foolbox")
def test_the_demo_is_20_labelled_photographs() -> None:
    dataset = demo_dataset(settings())
    assert (dataset.name, dataset.found, dataset.labelled) == ("demo", 20, 20)
    assert [(entry.path, entry.label) for entry in dataset.entries[:2]] == [
        ("imagenet_00_243.jpg", 243),
        ("imagenet_01_559.jpg", 559),
    ]
    assert all((Path(dataset.root) / entry.path).stat().st_size == entry.bytes for entry in dataset.entries)


# -- once wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "strange"),
    [
        (("goldfish/a.jpg", "tench/a.jpg", "zoo/a.jpg"), "folder 'zoo' is no class"),
        (("val/foo/a.jpg", "val/tench/a.jpg"), "folder 'foo' is no class"),
        (("1/a.jpg", "tench/a.jpg"), "in several ways (wnid, name, index): use one"),
    ],
)
def test_the_folder_that_is_no_class_is_the_one_that_is_named(
    tmp_path: Path, names: tuple[str, ...], strange: str
) -> None:
    assert strange in refusal(put(tmp_path, *names))


def test_a_stray_image_beside_class_folders_costs_its_own_label_only(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "n01440764/a.jpg", "b.png"))
    assert labels_of(dataset) == {"b.png": None, "n01440764/a.jpg": 0}


def test_a_labels_file_overrides_a_manifests_labels(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", "file_name,label\na.jpg,1\nb.jpg,no such class\n")
    better = write(tmp_path / "better.csv", "file_name,label\na.jpg,7\n")
    assert labels_of(read(manifest, labels_from=str(better))) == {"a.jpg": 7, "b.jpg": None}
    assert labels_of(read(manifest, labels_from="none")) == {"a.jpg": None, "b.jpg": None}


def test_a_labels_file_that_is_missing_is_the_one_that_is_named(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    missing = tmp_path / "none.csv"
    assert refusal(tmp_path, labels_from=str(missing)).startswith(f"{missing}: no such file")


def test_a_labels_file_that_names_no_image_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    other = write(tmp_path / "labels.csv", "file_name,label\nz.jpg,7\n")
    assert refusal(tmp_path, labels_from=str(other)).endswith("no row names an image of the dataset; a.jpg is one")


@pytest.mark.parametrize("header", ["file_name, label", "File_Name,LABEL", " file_name ,label "])
def test_a_header_is_read_as_it_was_meant(tmp_path: Path, header: str) -> None:
    manifest = write(tmp_path / "m.csv", f"{header}\na.jpg, 7\nb.jpg, \n")
    assert labels_of(read(manifest)) == {"a.jpg": 7, "b.jpg": None}


def test_endings_of_manifests_may_be_upper_case(tmp_path: Path) -> None:
    assert labels_of(read(write(tmp_path / "M.CSV", "file_name,label\na.jpg,7\n"))) == {"a.jpg": 7}


def test_a_number_of_thousands_of_digits_is_no_class(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", f"file_name,label\na.jpg,{'9' * 5000}\n")
    assert "is no class of the model" in refusal(manifest)


def test_what_a_cloud_client_raises_is_one_line_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    pytest.importorskip("s3fs", reason="the s3 extra is not installed")
    message = refusal("s3://not a bucket!/images", settings=settings(url_schemes="s3"))
    assert message.startswith("s3://not a bucket!/images: ")
    assert "credentials" in message


def test_a_home_of_nobody_is_one_line() -> None:
    assert "no such user" in refusal("~no-such-user-here/images")


def test_schemes_are_the_same_in_upper_case(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    assert labels_of(read(f"FILE://{tmp_path}")) == {"a.jpg": None}


def test_file_urls_are_unquoted(tmp_path: Path) -> None:
    put(tmp_path / "my images", "a.jpg")
    assert labels_of(read(f"file://{tmp_path}/my%20images")) == {"a.jpg": None}


def test_a_name_that_is_no_text_is_refused_before_a_database_is_asked(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xff.jpg")).write_bytes(b"1")
    assert refusal(tmp_path).endswith("is not UTF-8: rename that file")


def test_linked_class_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "all", "tench/a.jpg", "goldfish/b.jpg")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "goldfish").symlink_to("../all/goldfish")
    (tmp_path / "some" / "goldfish" / "loop").symlink_to(".")
    rooted = settings(image_root=tmp_path)
    assert labels_of(read(tmp_path / "some", settings=rooted)) == {"goldfish/b.jpg": 1}
    assert "is a link out of" in refusal(tmp_path / "some")
    assert "SMOOTHVOTE_IMAGE_ROOT" in refusal(tmp_path / "some")


def test_a_linked_image_that_workers_would_refuse_is_refused_before_it_is_submitted(tmp_path: Path) -> None:
    put(tmp_path / "all", "a.jpg")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.jpg").symlink_to("../all/a.jpg")
    assert "is a link out of" in refusal(tmp_path / "some")


def test_hidden_files_are_passed_over_behind_a_url_too() -> None:
    with in_memory({".h/x.jpg": b"1", "tench/a.jpg": b"1"}, "hidden") as url:
        assert labels_of(read(url, settings=settings(url_schemes="memory"))) == {"tench/a.jpg": 0}
