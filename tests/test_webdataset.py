"""Tar files as a source: their images, labels as WebDataset keeps them, and which files of a folder are one dataset."""

import json
import tarfile
from pathlib import Path

import pytest
from folders import labels_of, put, read, refusal, settings
from shard_files import write_tar

from producer.dataset import Dataset

IMAGE = b"12345"


def named(dataset: Dataset) -> dict[str, int | None]:
    """The labels by the images' names in their shards."""
    return {entry.path.partition("@")[2].partition("/")[2]: entry.label for entry in dataset.entries}


def test_an_image_is_found_by_its_bytes_in_the_tar(tmp_path: Path) -> None:
    # Every file of a tar is a header of 512 bytes and its data, filled up to a multiple of 512.
    tar = write_tar(tmp_path / "val.tar", {"a.jpg": IMAGE, "a.cls": b"1", "b.JPG": b"1" * 513, "c.png": b""})
    dataset = read(tar)
    assert labels_of(dataset) == {
        "val.tar@512+5/a.jpg": 1, "val.tar@2560+513/b.JPG": None, "val.tar@4096+0/c.png": None
    }  # fmt: skip
    assert (dataset.name, dataset.root, dataset.found) == ("val", f"shards://{tmp_path}", 3)
    assert {entry.bytes for entry in dataset.entries} == {tar.stat().st_size}


def test_a_label_is_a_wnid_a_name_or_an_index_beside_the_image(tmp_path: Path) -> None:
    parts = {
        "a.jpg": IMAGE, "a.cls": b"n01440764\n",
        "b.cls": b"goldfish", "b.json": b'{"label": 5}', "b.jpg": IMAGE,
        "c.json": b'{"caption": "a shark", "cls": 2}', "c.jpg": IMAGE,
        "x/d.jpg": IMAGE, "x/d.txt": b"7",
        "e.jpg": IMAGE, "e.png": IMAGE, "e.seg.png": IMAGE, "e.cls": b"3",
        "f.cls": b"4", "f.left.jpg": IMAGE,
        "g.json": b'["no", "label"]', "g.jpg": IMAGE,
        "h.json": b'{"label": null}', "h.jpg": IMAGE,
    }  # fmt: skip
    dataset = read(write_tar(tmp_path / "some.tar", parts))
    assert named(dataset) == {
        "a.jpg": 0, "b.jpg": 1, "c.jpg": 2, "x/d.jpg": None, "e.jpg": 3, "e.png": 3, "f.left.jpg": 4, "g.jpg": None,
        "h.jpg": None,
    }  # fmt: skip
    assert read(tmp_path / "some.tar", labels_from="none").labelled == 0


def test_without_a_label_beside_it_a_name_may_say_the_class(tmp_path: Path) -> None:
    names = ["ILSVRC2012_val_00000001.JPEG", "n01440764_18.JPEG", "val/n01443537/1.jpg", "./n01484850_2.jpg", "x/1.jpg"]
    dataset = read(write_tar(tmp_path / "ILSVRC2012_img_val.tar", dict.fromkeys(names, IMAGE)))
    assert named(dataset) == dict(zip([name.removeprefix("./") for name in names], [65, 0, 1, 2, None], strict=True))
    strange = write_tar(tmp_path / "strange.tar", {"n99999999_1.jpg": IMAGE})
    assert "n99999999_1.jpg: its name begins with 'n99999999', which is no class of the model" in refusal(strange)
    assert read(strange, labels_from="none").found == 1


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"._a.jpg": IMAGE, ".hidden/../x.txt": b"", "README": b"", "a.jpg": IMAGE})
    with tarfile.open(tar, "a") as more:
        for name, kind in (("b.jpg", tarfile.SYMTYPE), ("c.jpg", tarfile.DIRTYPE), ("d.jpg", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.jpg"
            more.addfile(info)
    assert named(read(tar)) == {"a.jpg": None}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_names_may_be_long_and_in_any_language(tmp_path: Path, form: int) -> None:
    names = ["é" * 60 + ".jpg", "y" * 200 + ".jpg", "ключ.jpg"]
    assert named(read(write_tar(tmp_path / "a.tar", dict.fromkeys(names, IMAGE), form=form))) == dict.fromkeys(names)


def test_a_labels_file_names_images_by_their_names_in_the_shards(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": IMAGE, "b.jpg": IMAGE})
    (tmp_path / "labels.csv").write_text("file_name,label\nb.jpg,tench\n")
    assert named(read(tar, labels_from=str(tmp_path / "labels.csv"))) == {"a.jpg": None, "b.jpg": 0}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"a.jpg": IMAGE, "a.cls": b"zoo"}, "a.tar: a.jpg: label 'zoo' is no class of the model"),
        ({"a.jpg": IMAGE, "a.cls": b"1000"}, "a.tar: a.jpg: label '1000' is no class of the model"),
        ({"a.jpg": IMAGE, "a.cls": b"\xff"}, "a.tar: a.cls: not readable as .cls; --labels none measures without"),
        ({"a.jpg": IMAGE, "a.json": b"{"}, "a.tar: a.json: not readable as .json; --labels none measures without"),
        ({"a.jpg": IMAGE, "a.json": b'{"label": [1]}'}, "a.tar: a.jpg: label [1] is no class of the model"),
        ({"a.txt": b"hello"}, "no images in its .tar files"),
        ({}, "no images in its .tar files"),
    ],
)
def test_what_is_wrong_with_a_label_is_said_with_the_shard_and_the_image(
    tmp_path: Path, parts: dict[str, bytes], said: str
) -> None:
    assert said in refusal(write_tar(tmp_path / "a.tar", parts))


def test_a_tar_that_is_compressed_or_cut_off_is_named(tmp_path: Path) -> None:
    packed = write_tar(tmp_path / "packed.tar", {"a.jpg": IMAGE}, mode="w:gz")
    assert "packed.tar: damaged, or no tar without compression" in refusal(packed)
    tar = write_tar(tmp_path / "cut.tar", {"a.jpg": IMAGE, "b.jpg": b"1" * 2000})
    tar.write_bytes(tar.read_bytes()[:2000])
    assert "cut.tar: damaged, or no tar without compression" in refusal(tar)
    (tmp_path / "folder.tar").mkdir()
    assert "folder.tar is no file; name a folder" in refusal(tmp_path / "folder.tar")
    assert "no such file: none.tar" in refusal(tmp_path / "none.tar")


# -- which files are one dataset -----------------------------------------------------------------------------------


def test_a_folder_of_shards_is_read_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        write_tar(tmp_path / "set" / f"val-{number:03}.tar", {f"{number}-b.jpg": IMAGE, f"{number}-a.jpg": IMAGE})
    put(tmp_path / "set", "README.md")
    dataset = read(tmp_path / "set")
    assert list(named(dataset)) == ["1-b.jpg", "1-a.jpg", "2-b.jpg", "2-a.jpg", "10-b.jpg", "10-a.jpg"]
    assert (dataset.name, dataset.root, dataset.passed_over) == ("set", f"shards://{tmp_path}/set", 1)
    assert read(tmp_path / "set" / "val-*.tar").fingerprint == dataset.fingerprint
    one = read(tmp_path / "set" / "val-002.tar")
    assert (list(named(one)), one.name) == (["2-b.jpg", "2-a.jpg"], "val-002")


def test_a_folder_of_several_sets_of_shards_is_refused_with_a_pattern_for_each(tmp_path: Path) -> None:
    for name in ("train/0.tar", "train/1.tar", "val/0.tar", "val-0.tar"):
        write_tar(tmp_path / name, {"a.jpg": IMAGE})
    assert refusal(tmp_path) == (
        f"{tmp_path}: its files are several sets: train/*.tar, val-*.tar, val/*.tar; name one: '{tmp_path}/train/*.tar'"
    )
    dataset = read(tmp_path / "train/*.tar")
    assert (dataset.name, dataset.root, dataset.found) == ("train", f"shards://{tmp_path}/train", 2)
    assert read(tmp_path / "*" / "*.tar").found == 3
    assert "no file matches" in refusal(tmp_path / "test-*.tar")


def test_a_name_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    assert read(write_tar(tmp_path / "photos [1].tar", {"a.jpg": IMAGE})).name == "photos [1]"


def test_a_folder_with_images_is_a_folder_of_images(tmp_path: Path) -> None:
    write_tar(put(tmp_path, "a.jpg") / "more.tar", {"b.jpg": IMAGE})
    dataset = read(tmp_path)
    assert (labels_of(dataset), dataset.passed_over, dataset.root) == ({"a.jpg": None}, 1, str(tmp_path))


def test_a_root_is_below_the_image_root_and_no_shard_leads_out_of_it(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "all" / "a.tar", {"a.jpg": IMAGE})
    assert read(tar, settings=settings(image_root=tmp_path)).root == "shards://all"
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "b.tar").symlink_to(tar)
    assert "is a link out of" in refusal(tmp_path / "links" / "*.tar")
    assert "is a link out of" in refusal(tmp_path / "links")
    assert read(tmp_path / "links", settings=settings(image_root=tmp_path)).found == 1


def test_a_changed_shard_is_another_dataset(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"a.jpg": IMAGE, "a.cls": b"1"})
    before = read(tar).fingerprint
    write_tar(tar, {"a.jpg": IMAGE, "a.cls": b"2"})
    assert read(tar).fingerprint != before


def test_shards_are_not_read_over_http(tmp_path: Path) -> None:
    web = settings(url_schemes="http", http_hosts="images.example.org")
    message = refusal("http://images.example.org/val/*.tar", settings=web)
    assert message.endswith("/val/*.tar: .tar files are not read over http: copy them, or use a store")


def test_json_of_any_size_is_read_up_to_a_limit(tmp_path: Path) -> None:
    long = json.dumps({"label": 1, "caption": "x" * 2**20}).encode()
    assert "a.json: not readable as .json" in refusal(write_tar(tmp_path / "a.tar", {"a.jpg": IMAGE, "a.json": long}))
