"""A folder as a dataset source: which files are its images, and which labels its layout gives them."""

import os
from pathlib import Path

import pytest
from folders import NO_CLASS, REMEDY, labels_of, put, read, refusal, settings, write

from db.recipe import Recipe
from db.store import Entry
from producer.labels import Labels

# -- folders of classes --------------------------------------------------------------------------------------------


def test_class_folders_by_wnid(tmp_path: Path) -> None:
    folder = put(tmp_path / "mine", "n01443537/b.png", "n01440764/z.JPEG", "n01440764/a.jpg")
    dataset = read(folder)
    assert dataset.name == "mine"
    assert dataset.root == str(folder)
    assert list(dataset.entries) == [
        Entry(path="n01440764/a.jpg", label=0, bytes=5),
        Entry(path="n01440764/z.JPEG", label=0, bytes=5),
        Entry(path="n01443537/b.png", label=1, bytes=5),
    ]
    assert (dataset.found, dataset.labelled, dataset.passed_over) == (3, 3, 0)


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


def test_class_folders_of_custom_classes(tmp_path: Path) -> None:
    mine = Labels(Recipe(classes=("cat", "hot dog")))
    folder = put(tmp_path, "hot_dog/a.jpg", "cat/b.jpg")
    assert labels_of(read(folder, labels=mine)) == {"cat/b.jpg": 0, "hot_dog/a.jpg": 1}
    assert "folder 'cat' " in refusal(folder)


def test_an_image_beside_class_folders_has_no_label_and_spoils_no_other(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "n01440764/a.jpg", "b.png"))
    assert labels_of(dataset) == {"b.png": None, "n01440764/a.jpg": 0}


# -- flat folders --------------------------------------------------------------------------------------------------


def test_a_flat_folder_of_wnid_and_name(tmp_path: Path) -> None:
    folder = put(tmp_path, "n01440764_tench.JPEG", "n01443537_goldfish.JPEG", "other.JPEG")
    assert labels_of(read(folder)) == {"n01440764_tench.JPEG": 0, "n01443537_goldfish.JPEG": 1, "other.JPEG": None}


def test_a_flat_folder_of_the_validation_set(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000293.JPEG"))
    assert labels_of(dataset) == {"ILSVRC2012_val_00000001.JPEG": 65, "ILSVRC2012_val_00000293.JPEG": 0}


def test_a_flat_folder_without_labels(tmp_path: Path) -> None:
    dataset = read(put(tmp_path, "b.jpg", "a.webp"))
    assert list(dataset.entries) == [
        Entry(path="a.webp", label=None, bytes=5),
        Entry(path="b.jpg", label=None, bytes=5),
    ]
    assert (dataset.found, dataset.labelled) == (2, 0)


# -- which files ---------------------------------------------------------------------------------------------------


def test_files_without_an_image_suffix_are_passed_over_and_counted(tmp_path: Path) -> None:
    folder = put(tmp_path, "tench/a.jpg", "tench/notes.txt", "README.md", "tench/jpg", "tench/b.jpg.part")
    dataset = read(folder)
    assert labels_of(dataset) == {"tench/a.jpg": 0}
    assert (dataset.found, dataset.passed_over) == (1, 4)


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
    assert list(read(folder).entries) == [
        Entry(path="tench/a.jpg", label=0, bytes=5),
        Entry(path="tench/b.jpg", label=0, bytes=None),
    ]


def test_a_link_to_an_image_is_that_image(tmp_path: Path) -> None:
    original = write(tmp_path / "original", b"123")
    folder = put(tmp_path / "mine", "tench/a.jpg")
    (folder / "tench/b.jpg").symlink_to(original)
    found = read(folder, settings=settings(image_root=tmp_path))
    assert list(found.entries)[1] == Entry(path="tench/b.jpg", label=0, bytes=3)


def test_linked_class_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    put(tmp_path / "all", "tench/a.jpg", "goldfish/b.jpg")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "goldfish").symlink_to("../all/goldfish")
    (tmp_path / "some" / "goldfish" / "loop").symlink_to(".")
    rooted = settings(image_root=tmp_path)
    assert labels_of(read(tmp_path / "some", settings=rooted)) == {"goldfish/b.jpg": 1}
    assert "is a link out of" in refusal(tmp_path / "some")
    assert "; copy the files, or export SMOOTHVOTE_IMAGE_ROOT=FOLDER, a folder above both" in refusal(tmp_path / "some")


def test_a_link_out_of_the_root_is_refused_because_workers_would_refuse_it(tmp_path: Path) -> None:
    put(tmp_path / "all", "a.jpg")
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.jpg").symlink_to("../all/a.jpg")
    assert "is a link out of" in refusal(tmp_path / "some")


# -- wrong use -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [[], ["notes.txt", "data/tench.npy"], [".hidden/a.jpg"]], ids=["", "other", "hidden"])
def test_a_folder_without_images(tmp_path: Path, names: list[str]) -> None:
    assert refusal(put(tmp_path, *names)) == (
        f"{tmp_path}: no images in it (looked for .arrow .bmp .gif .jpeg .jpg .parquet .png .tar .tif .tiff .webp, "
        "in all folders below)"
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


@pytest.mark.parametrize(
    ("names", "strange"),
    [
        (("goldfish/a.jpg", "tench/a.jpg", "zoo/a.jpg"), "folder 'zoo' is no class"),
        (("val/foo/a.jpg", "val/tench/a.jpg"), "folder 'foo' is no class"),
        (("1/a.jpg", "tench/a.jpg"), "in several ways (wnid, name, index): use one"),
    ],
)
def test_the_folder_that_is_no_class_is_named(tmp_path: Path, names: tuple[str, ...], strange: str) -> None:
    assert strange in refusal(put(tmp_path, *names))


def test_a_flat_file_of_a_wnid_that_is_no_class(tmp_path: Path) -> None:
    message = refusal(put(tmp_path, "n01440764_tench.JPEG", "n99999999_zoo.JPEG"))
    assert message == (
        f"{tmp_path}: n99999999_zoo.JPEG begins with 'n99999999', which is no class of the model; "
        "--labels none measures without labels"
    )


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xff.jpg")).write_bytes(b"1")
    assert refusal(tmp_path).endswith("is not UTF-8: rename that file")
