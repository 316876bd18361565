"""Runs over shards: the rows, and so the labels and the noise, are those of the same images in a folder."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from folders import IMAGENET
from shard_files import Row, table, write_arrow, write_parquet, write_tar
from small_worker import measure, small_recipe
from sqlalchemy import Engine

from db.recipe import Recipe
from db.settings import Settings
from producer.dataset import read_dataset

pytest.importorskip("torch", reason="predicting needs smoothvote[worker]")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    return small_recipe(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def rows(photographs: list[Path]) -> list[Row]:
    """Five photographs, one of which is cut off."""
    some = [Row(file.read_bytes(), file.name, int(file.stem.split("_")[2])) for file in photographs[:5]]
    return [*some[:3], some[3]._replace(data=(some[3].data or b"")[:5000]), some[4]]


def as_folder(folder: Path, rows: list[Row]) -> Path:
    for row in rows:
        (folder / str(row.label)).mkdir(parents=True, exist_ok=True)
        (folder / str(row.label) / str(row.path)).write_bytes(row.data or b"")
    return folder


def as_tars(folder: Path, rows: list[Row]) -> Path:
    for number, row in enumerate(rows):
        parts = {str(row.path): row.data or b"", f"{Path(str(row.path)).stem}.cls": str(row.label).encode()}
        write_tar(folder / f"val-{number}.tar", parts)
    return folder


def as_arrow(folder: Path, rows: list[Row]) -> Path:
    write_arrow(folder / "data-00000-of-00001.arrow", table(rows))
    return folder


def as_parquet(folder: Path, rows: list[Row]) -> Path:
    return write_parquet(folder / "val.parquet", table(rows))


def measured(engine: Engine, settings: Settings, recipe: Recipe, place: Path) -> list[tuple[Any, ...]]:
    return measure(engine, settings, recipe, read_dataset(str(place), labels=IMAGENET, settings=settings))


def test_shards_give_the_rows_of_a_folder(
    engine: Engine, settings: Settings, recipe: Recipe, rows: list[Row], tmp_path: Path
) -> None:
    by_label = sorted(rows, key=lambda row: str(row.label))  # as a folder of class folders is sorted
    expected = measured(engine, settings, recipe, as_folder(tmp_path / "folder", by_label))
    assert len(expected) == 2 * 4 + 1  # at two levels, and one failure
    assert [row[-1] for row in expected if row[-1]] == ["truncated"]
    for write in (as_tars, as_arrow, as_parquet):
        assert measured(engine, settings, recipe, write(tmp_path / write.__name__, by_label)) == expected


def test_a_shard_that_is_gone_or_has_changed_costs_its_own_images(
    engine: Engine, settings: Settings, recipe: Recipe, rows: list[Row], tmp_path: Path
) -> None:
    folder = as_tars(tmp_path / "tars", rows)
    dataset = read_dataset(str(folder), labels=IMAGENET, settings=settings)
    (folder / "val-0.tar").unlink()
    shutil.copy(folder / "val-2.tar", folder / "val-1.tar")
    found = measure(engine, settings, recipe, dataset)
    assert {row[0]: row[-1] for row in found} == {0: "missing", 1: "changed", 2: None, 3: "truncated", 4: None}
