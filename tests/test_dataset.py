"""A dataset: which images and labels it has, and its fingerprint, which is part of every run's id."""

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from folders import NO_CLASS, in_memory, labels_of, put, read, refusal, settings, write

from db.store import Entry
from producer.dataset import Listed, make_dataset
from producer.demo import demo_dataset
from producer.place import File
from producer.sources import Contents, Found

# -- labels from a file --------------------------------------------------------------------------------------------


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


def test_a_labels_file_overrides_a_manifests_labels(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", "file_name,label\na.jpg,1\nb.jpg,no such class\n")
    better = write(tmp_path / "better.csv", "file_name,label\na.jpg,7\n")
    assert labels_of(read(manifest, labels_from=str(better))) == {"a.jpg": 7, "b.jpg": None}
    assert labels_of(read(manifest, labels_from="none")) == {"a.jpg": None, "b.jpg": None}


def test_a_bad_label_in_a_file_of_labels_is_named_with_its_line(tmp_path: Path) -> None:
    labels = write(tmp_path / "labels.csv", "file_name,label\na.jpg,1\nb.jpg,zoo\n")
    message = refusal(put(tmp_path / "mine", "a.jpg"), labels_from=str(labels))
    assert message.startswith(f"{labels} line 3: label 'zoo' {NO_CLASS} below 1000)")


def test_a_labels_file_that_is_missing_is_named_with_its_flag(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    missing = tmp_path / "none.csv"
    assert refusal(tmp_path, labels_from=str(missing)) == (
        f"--labels {missing}: no such file or folder; name a .csv or .jsonl file of file_name,label, or `none`"
    )


def test_a_labels_file_that_names_no_image_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    other = write(tmp_path / "labels.csv", "file_name,label\nz.jpg,7\n")
    assert refusal(tmp_path, labels_from=str(other)).endswith("no row names an image of the dataset; a.jpg is one")


def test_a_device_a_pipe_or_a_file_of_gigabytes_is_no_file_of_labels(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "a.jpg")
    pipe, large = tmp_path / "pipe", tmp_path / "large.csv"
    os.mkfifo(pipe)
    with large.open("wb") as opened:
        opened.truncate(10**10)  # takes no space
    for file, why in (
        (Path("/dev/zero"), "a device or a pipe, not a file"),
        (pipe, "a device or a pipe, not a file"),
        (large, "10,000,000,000 bytes are too many: at most 2,147,483,648"),
    ):
        remedy = "; name a .csv or .jsonl file of file_name,label, or `none`"
        assert refusal(folder, labels_from=str(file)) == f"--labels {file}: {why}{remedy}"


def test_labels_from_http_are_refused(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, "a.jpg"), labels_from="http://example.org/labels.csv")
    assert message.startswith("http://example.org/labels.csv: http URLs are not allowed here")


def test_labels_from_behind_a_url(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.jpg")
    with in_memory({"labels.jsonl": b'{"file_name": "a.jpg", "label": 4}'}, tmp_path.name) as url:
        dataset = read(folder, labels_from=f"{url}/labels.jsonl", settings=settings(url_schemes="memory"))
    assert labels_of(dataset) == {"a.jpg": 4}


# -- limit ---------------------------------------------------------------------------------------------------------


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


# -- fingerprint ---------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    "image",
    [
        Listed("n/a.jpg", 5, "7000000000", 0),
        Listed('ä "b"\\\x7f\u2028\U0001f600.jpg', None, None, None),
        Listed("a", 2**40, 'W/"etag"', 999),
    ],
)
def test_a_fingerprint_is_of_the_json_of_each_image(image: Listed) -> None:
    assert image.as_json() == json.dumps(list(image))


def test_files_that_are_passed_over_do_not_change_the_fingerprint(tmp_path: Path) -> None:
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


def test_a_limited_dataset_is_another_than_the_whole(tmp_path: Path) -> None:
    folder = put(tmp_path, "a.jpg", "b.jpg")
    assert read(folder, limit=1).fingerprint != read(folder).fingerprint


# -- the demo ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("foolbox") is None, reason="the demo's photographs come with foolbox")
def test_the_demo_is_20_labelled_photographs() -> None:
    dataset = demo_dataset(settings())
    assert (dataset.name, dataset.found, dataset.labelled) == ("demo", 20, 20)
    assert [(entry.path, entry.label) for entry in list(dataset.entries)[:2]] == [
        ("imagenet_00_243.jpg", 243),
        ("imagenet_01_559.jpg", 559),
    ]
    assert all((Path(dataset.root) / entry.path).stat().st_size == entry.bytes for entry in dataset.entries)


def test_a_dataset_keeps_the_order_and_labels_of_what_its_source_found() -> None:
    images = [Found(File("b_2.jpg", 5, "1"), 2), Found(File("a_1.jpg", None, None), 1)]
    dataset = make_dataset(Contents(name="mine", root="/r", images=iter(images)))
    assert (dataset.name, dataset.root, dataset.found) == ("mine", "/r", 2)
    assert list(dataset.entries) == [
        Entry(path="b_2.jpg", label=2, bytes=5),
        Entry(path="a_1.jpg", label=1, bytes=None),
    ]
    assert dataset.fingerprint == hashlib.sha256(b'["b_2.jpg", 5, "1", 2]\n["a_1.jpg", null, null, 1]\n').hexdigest()
