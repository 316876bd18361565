"""Reading one image out of a shard: the bytes that were put in, and what is wrong with one image or one shard."""

import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from folders import read as read_dataset
from shard_files import Row, table, write_arrow, write_parquet, write_tar

import worker.parquet
from db.errors import Refusal
from db.settings import Settings
from db.shards import Cell, Member, Span
from db.store import Entry
from worker.files import find_root, read
from worker.unusable import Unusable

DATA = [b"first", b"2" * 600, b"third"]
NAMES = ["a.jpg", "b.jpg", "c.jpg"]
ROWS = [Row(data, name, 0) for data, name in zip(DATA, NAMES, strict=True)]
SUFFIXES = (".tar", ".arrow", ".parquet")


def write(file: Path, rows: list[Row] = ROWS) -> Path:
    if file.suffix == ".tar":
        return write_tar(file, {str(row.path): row.data or b"" for row in rows})
    return {".arrow": write_arrow, ".parquet": write_parquet}[file.suffix](file, table(rows))


@pytest.fixture(params=SUFFIXES)
def shard(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "set" / f"val-0{request.param}")


def entries_of(shard: Path) -> tuple[str, list[Entry]]:
    dataset = read_dataset(shard, labels_from="none")
    return dataset.root, list(dataset.entries)


def code_of(root: str, entry: Entry, settings: Settings | None = None) -> str:
    with pytest.raises(Unusable) as raised:
        read(root, entry, settings or Settings())
    assert "\n" not in raised.value.message
    return raised.value.code


def test_the_bytes_of_each_image_are_those_that_were_put_in(shard: Path) -> None:
    root, entries = entries_of(shard)
    found = find_root(root, Settings())
    assert found == f"shards://{shard.parent}"
    for order in (entries, entries[::-1]):
        assert {entry.path: read(found, entry, Settings()) for entry in order} == dict(
            zip([entry.path for entry in entries], DATA, strict=True)
        )


def test_names_may_be_long_and_in_any_language(tmp_path: Path) -> None:
    names = ["é" * 60 + ".jpg", "y" * 200 + ".jpg", f"{'z' * 90}/{'z' * 60}.jpg", "./x.jpg"]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        tar = write_tar(tmp_path / "long.tar", dict.fromkeys(names, b"12345"), form=form)
        root, entries = entries_of(tar)
        assert [read(root, entry, Settings()) for entry in entries] == [b"12345"] * 4


def test_shards_behind_a_url_are_read_alike(shard: Path, tmp_path: Path) -> None:
    settings = Settings(url_schemes="memory")
    filesystem = fsspec.filesystem("memory")
    filesystem.pipe({f"/{tmp_path.name}/set/{shard.name}": shard.read_bytes()})
    dataset = read_dataset(f"memory://{tmp_path.name}/set/*{shard.suffix}", settings=settings, labels_from="none")
    assert dataset.root == f"shards+memory://{tmp_path.name}/set"
    root = find_root(dataset.root, settings)
    assert [read(root, entry, settings) for entry in dataset.entries] == DATA
    assert [entry.path for entry in dataset.entries] == [entry.path for entry in entries_of(shard)[1]]
    first = next(iter(dataset.entries))
    filesystem.pipe({f"/{tmp_path.name}/set/{shard.name}": shard.read_bytes() + b"0"})
    assert code_of(root, first, settings) == "changed"
    filesystem.rm(f"/{tmp_path.name}/set/{shard.name}")
    filesystem.pipe({f"/{tmp_path.name}/set/other": b"0"})
    assert code_of(root, first, settings) == "missing"
    filesystem.rm(f"/{tmp_path.name}", recursive=True)
    with pytest.raises(Refusal, match="there is nothing at memory://"):
        read(root, first, settings)


def test_a_worker_reads_no_shard_behind_a_url_that_its_settings_do_not_allow() -> None:
    with pytest.raises(Refusal, match="s3 URLs are not allowed here: SMOOTHVOTE_URL_SCHEMES=file,s3"):
        find_root("shards+s3://bucket/val", Settings())
    with pytest.raises(Refusal, match=r"shards are not read over http: http://example\.org"):
        read("shards+http://example.org/val", Entry(path="a.tar@512+5/a.jpg", label=None, bytes=None), Settings())
    with pytest.raises(Refusal, match="does not see the images at /nowhere"):
        find_root("shards:///nowhere", Settings())


def test_a_relative_root_is_below_the_image_root(shard: Path) -> None:
    settings = Settings(image_root=shard.parent.parent)
    dataset = read_dataset(shard, settings=settings, labels_from="none")
    assert dataset.root == "shards://set"
    assert [read(find_root("shards://set", settings), entry, settings) for entry in dataset.entries] == DATA


# -- what is wrong with one image ----------------------------------------------------------------------------------


def test_an_image_without_bytes_is_empty_and_a_large_one_is_not_read(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        root, entries = entries_of(write(tmp_path / f"val{suffix}", [*ROWS, Row(b"", "none.jpg", 0)]))
        assert code_of(root, entries[3]) == "empty"
        assert code_of(root, entries[1], Settings(max_bytes=599)) == "too_many_bytes"
        assert read(root, entries[1], Settings(max_bytes=600)) == DATA[1]


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "..%2Fset/val-0"])
def test_no_path_leads_out_of_the_root(shard: Path, name: str) -> None:
    root, entries = entries_of(shard)
    (shard.parent.parent / "a").write_bytes(shard.read_bytes())
    member = Member.of(entries[0].path)._replace(file=name)
    assert code_of(root, replace(entries[0], path=member.path)) in ("outside_root", "missing")
    shard.rename(shard.parent.parent / "elsewhere")
    shard.symlink_to(shard.parent.parent / "elsewhere")
    assert code_of(root, entries[0]) == "outside_root"


@pytest.mark.parametrize("path", ["val-0.tar", "val-0.tar@x/a.jpg", "gone.tar@512+5/a.jpg", "a.jpg"])
def test_a_path_that_names_nothing_is_missing(tmp_path: Path, path: str) -> None:
    root, _ = entries_of(write(tmp_path / "val-0.tar"))
    assert code_of(root, Entry(path=path, label=None, bytes=None)) == "missing"


# -- shards that changed -------------------------------------------------------------------------------------------


def test_a_shard_of_another_size_has_changed(shard: Path) -> None:
    root, entries = entries_of(shard)
    write(shard, [*ROWS, Row(bytes(20_000), "more.jpg", 0)])
    assert {code_of(root, entry) for entry in entries} == {"changed"}


@pytest.mark.parametrize("suffix", [".tar", ".parquet"])
def test_a_shard_of_the_same_size_in_another_order_has_changed(tmp_path: Path, suffix: str) -> None:
    shard = write(tmp_path / f"val{suffix}")
    root, entries = entries_of(shard)
    size = shard.stat().st_size
    write(shard, [ROWS[2], ROWS[1], ROWS[0]])
    assert shard.stat().st_size == size
    assert code_of(root, entries[0]) == code_of(root, entries[2]) == "changed"


def test_a_shard_without_this_place_has_changed(tmp_path: Path) -> None:
    tar, arrow, rows = (write(tmp_path / f"val{suffix}") for suffix in SUFFIXES)
    root = f"shards://{tmp_path}"
    for member in (
        Member(tar.name, Span(1024, 5), "a.jpg"),  # no header is before it
        Member(tar.name, Span(10**9, 5), "a.jpg"),
        Member(arrow.name, Span(arrow.stat().st_size - 3, 5), "a.jpg"),
        Member(rows.name, Cell("image", 3), "a.jpg"),
        Member(rows.name, Cell("picture", 0), "a.jpg"),
    ):
        assert code_of(root, Entry(path=member.path, label=None, bytes=None)) == "changed"


def test_a_damaged_parquet_file_costs_its_own_images(tmp_path: Path) -> None:
    good, bad = (write(tmp_path / f"{name}.parquet") for name in ("good", "bad"))
    root, entries = entries_of(tmp_path / "*.parquet")
    data = bytearray(bad.read_bytes())
    data[4:60] = b"\xff" * 56  # the first page of the first row group
    bad.write_bytes(data)
    worker.parquet._GROUPS._kept.clear()
    assert [code_of(root, entry) for entry in entries[:2]] == ["unreadable"] * 2
    assert [read(root, entry, Settings()) for entry in entries[2:]] == [DATA[2], *DATA]
    bad.write_bytes(b"PAR1" + b"\xff" * (len(data) - 8) + b"PAR1")
    worker.parquet._GROUPS._kept.clear()
    assert code_of(root, entries[2]) == "unreadable"
    assert good.exists()


# -- row groups ----------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first rows of the row groups that are read, in order."""
    worker.parquet._GROUPS._kept.clear()
    found: list[int] = []
    read_group = worker.parquet._read_group

    def read(shard: Any, key: Any, row: int) -> Any:
        group = read_group(shard, key, row)
        found.append(group.first)
        return group

    monkeypatch.setattr(worker.parquet, "_read_group", read)
    return found


def test_threads_read_a_row_group_once_between_them(tmp_path: Path, opened: list[int]) -> None:
    rows = [Row(bytes([number]) * 50, f"{number}.jpg", 0) for number in range(64)]
    root, entries = entries_of(write_parquet(tmp_path / "a.parquet", table(rows), group=16))
    ready = threading.Barrier(8)

    def read_all(_: int) -> list[bytes]:
        ready.wait()
        return [read(root, entry, Settings()) for entry in entries]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read_all, range(8))) == [[row.data for row in rows]] * 8
    assert sorted(opened) == [0, 16, 32, 48]


def test_row_groups_are_kept_up_to_a_number_of_bytes(
    tmp_path: Path, opened: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(bytes([number]) * 100, f"{number}.jpg", 0) for number in range(6)]
    root, entries = entries_of(write_parquet(tmp_path / "a.parquet", table(rows), group=2))
    monkeypatch.setattr(worker.parquet, "KEPT_BYTES", 400)  # two of the three groups
    for number in (0, 2, 1, 4, 0, 3):
        read(root, entries[number], Settings())
    assert opened == [0, 2, 4, 2]  # group 0 was used after group 2, so that group 2 made room for group 4


def test_images_that_decompress_to_too_much_are_not_read_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.parquet._GROUPS._kept.clear()
    rows = [Row(b"0" * 1000, f"{number}.jpg", 0) for number in range(100)]  # one value, which is stored once
    shard = write_parquet(tmp_path / "a.parquet", table(rows), group=100)
    root, entries = entries_of(shard)
    monkeypatch.setattr(worker.parquet, "GROUP_LIMIT", 50_000)
    assert shard.stat().st_size < 10_000
    assert code_of(root, entries[0]) == "too_many_bytes"
