"""Datasets in an object store: a real server that speaks S3, started by the test, and the real client."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from folders import labels_of, read, refusal
from shard_files import Row, table, write_arrow, write_parquet, write_tar
from small_worker import measure, small_recipe
from sqlalchemy import Engine

from db.errors import Refusal
from db.settings import Settings
from db.store import Entry
from worker.files import find_root
from worker.files import read as read_image
from worker.unusable import Unusable

s3fs = pytest.importorskip("s3fs", reason="s3 needs smoothvote[s3]")
server = pytest.importorskip("moto.server", reason="the S3 server of the tests comes with smoothvote[dev]")

IMAGES = {"tench/a.jpg": b"12345", "hen/b.jpg": b"1" * 700, "hen/c.jpg": b"0"}
SETTINGS = Settings(url_schemes="file,s3")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    started = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield f"http://{host}:{port}"
    started.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, clean_environment: None) -> Iterator[Any]:
    """An empty bucket, and credentials in the environment, as a worker has them."""
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    s3fs.S3FileSystem.clear_instance_cache()
    filesystem = s3fs.S3FileSystem()
    filesystem.mkdir("bucket")
    yield filesystem
    filesystem.rm("bucket", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def put(bucket: Any, files: dict[str, bytes]) -> None:
    bucket.pipe({f"bucket/{path}": data for path, data in files.items()})


def bytes_of(dataset: Any) -> list[bytes]:
    root = find_root(dataset.root, SETTINGS)
    return [read_image(root, entry, SETTINGS) for entry in dataset.entries]


def test_a_folder_in_a_bucket_is_listed_and_read(bucket: Any) -> None:
    put(bucket, {f"val/{path}": data for path, data in IMAGES.items()})
    dataset = read("s3://bucket/val", settings=SETTINGS)
    assert labels_of(dataset) == {"hen/b.jpg": 8, "hen/c.jpg": 8, "tench/a.jpg": 0}
    assert (dataset.name, dataset.root) == ("val", "s3://bucket/val")
    assert bytes_of(dataset) == [IMAGES["hen/b.jpg"], IMAGES["hen/c.jpg"], IMAGES["tench/a.jpg"]]
    put(bucket, {"val/hen/b.jpg": b"2" * 700})  # as long as before: the store's ETag tells
    assert read("s3://bucket/val", settings=SETTINGS).fingerprint != dataset.fingerprint


def test_a_manifest_in_a_bucket_names_objects_beside_it(bucket: Any) -> None:
    put(bucket, {"a.jpg": b"12345", "m.csv": b"file_name,label\na.jpg,tench\ngone.jpg,hen\n"})
    dataset = read("s3://bucket/m.csv", settings=SETTINGS)
    assert [(entry.path, entry.label, entry.bytes) for entry in dataset.entries] == [
        ("a.jpg", 0, 5), ("gone.jpg", 8, None)
    ]  # fmt: skip
    with pytest.raises(Unusable, match="missing"):
        bytes_of(dataset)


@pytest.mark.parametrize("suffix", [".tar", ".arrow", ".parquet"])
def test_shards_in_a_bucket_give_what_they_give_in_a_folder(bucket: Any, tmp_path: Path, suffix: str) -> None:
    for number in range(3):
        file = tmp_path / "set" / f"val-{number}{suffix}"
        if suffix == ".tar":
            write_tar(file, {path.partition("/")[2]: data for path, data in IMAGES.items()} | {"a.cls": b"0"})
        else:
            rows = [Row(data, path, 8) for path, data in IMAGES.items()]
            {".arrow": write_arrow, ".parquet": write_parquet}[suffix](file, table(rows))
        bucket.put_file(str(file), f"bucket/set/{file.name}")
    dataset = read("s3://bucket/set", settings=SETTINGS)
    here = read(tmp_path / "set")
    assert labels_of(dataset) == labels_of(here)
    assert dataset.root == "shards+s3://bucket/set"
    assert bytes_of(dataset) == bytes_of(here) == [*IMAGES.values()] * 3
    assert labels_of(read(f"s3://bucket/set/val-*{suffix}", settings=SETTINGS)) == labels_of(here)
    assert read(f"s3://bucket/set/val-1{suffix}", settings=SETTINGS).found == 3


def test_a_bucket_that_is_gone_is_the_machines_fault_and_an_object_that_is_gone_its_own(bucket: Any) -> None:
    put(bucket, {"val/a.jpg": b"12345"})
    root = find_root("s3://bucket/val", SETTINGS)
    with pytest.raises(Unusable, match="missing"):
        read_image(root, Entry(path="b.jpg", label=None, bytes=None), SETTINGS)
    with pytest.raises(Unusable, match="changed"):
        read_image(root, Entry(path="a.jpg", label=None, bytes=6), SETTINGS)
    with pytest.raises(Unusable, match="too_many_bytes"):
        read_image(root, Entry(path="a.jpg", label=None, bytes=5), SETTINGS.model_copy(update={"max_bytes": 4}))
    bucket.rm("bucket/val", recursive=True)
    with pytest.raises(Refusal, match="there is nothing at s3://bucket/val any more"):
        read_image(root, Entry(path="a.jpg", label=None, bytes=5), SETTINGS)
    os.environ["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(Refusal, match="can it be reached, and are its packages and credentials here"):
        find_root("s3://bucket/val", SETTINGS)
    assert "are its packages and credentials here?" in refusal("s3://bucket/val", settings=SETTINGS)


def test_a_run_over_a_bucket_gives_the_rows_of_a_run_over_a_folder(
    bucket: Any, tmp_path: Path, photographs: list[Path], engine: Engine, settings: Settings
) -> None:
    pytest.importorskip("torch", reason="predicting needs smoothvote[worker]")
    settings = settings.model_copy(update={"url_schemes": "file,s3"})
    parts = {photograph.name: photograph.read_bytes() for photograph in photographs[:3]}
    write_tar(tmp_path / "set" / "photos.tar", parts)
    bucket.put_file(str(tmp_path / "set" / "photos.tar"), "bucket/photos.tar")
    put(bucket, {f"plain/{name}": data for name, data in parts.items()})
    recipe = small_recipe(tmp_path)
    places = (str(tmp_path / "set"), "s3://bucket/photos.tar", "s3://bucket/plain")
    first, *others = [measure(engine, settings, recipe, read(place, settings=settings)) for place in places]
    assert len(first) == 6
    assert others == [first, first]
