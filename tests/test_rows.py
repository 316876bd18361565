"""Rows in a temporary file: their order, what is there twice, and a full disk."""

import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from db.errors import SmoothvoteError
from producer.rows import Rows


class Named(NamedTuple):
    path: str
    label: int | None


def named(*pairs: tuple[str, int | None]) -> Rows[Named]:
    return Rows(Named, (Named(*pair) for pair in pairs))


def test_rows_come_back_as_they_were_however_often() -> None:
    rows = named(("b", 2), ("a", None))
    assert len(rows) == 2
    assert list(rows) == list(rows) == [Named("b", 2), Named("a", None)]


def test_no_rows() -> None:
    rows = named()
    assert (len(rows), list(rows), rows.twice("path")) == (0, [], None)


def test_rows_are_sorted_by_code_point_as_python_sorts() -> None:
    paths = ["b/a", "b", "b-1/a", "B", "ä", "\U0001f600", "\ue000", "b.jpg", "a/z"]
    rows = named(*((path, 0) for path in paths))
    rows.sort("path")
    assert [row.path for row in rows] == sorted(paths)


def test_the_first_row_that_is_there_twice_is_told() -> None:
    rows = named(("a", 1), ("b", 2), ("c", 3), ("b", 4), ("b", 5), ("a", 6))
    assert rows.twice("path") == Named("b", 4)
    assert named(("a", 1), ("A", 1)).twice("path") is None


def test_rows_are_found_by_any_of_many_values() -> None:
    rows = named(*((str(number), number) for number in range(2000)))
    assert rows.twice("path") is None
    found = rows.find("path", ["7", "no such", *map(str, range(1000, 2000))])
    assert sorted(row.label or 0 for row in found) == [7, *range(1000, 2000)]


def test_an_error_between_two_rows_is_raised_as_it_is() -> None:
    def broken() -> Iterator[Named]:
        yield Named("a", 1)
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        Rows(Named, broken())


def test_a_hundred_thousand_rows_wait_on_disk_until_nobody_refers_to_them() -> None:
    def open_files() -> list[str]:
        found = []
        for descriptor in Path("/proc/self/fd").iterdir():
            with suppress(OSError):
                found.append(os.readlink(descriptor))
        return [name for name in found if "etilqs" in name]  # as SQLite names its temporary files

    gc.collect()
    before = len(open_files())
    rows = named(*((f"{number:0200d}", number) for number in range(100_000)))
    assert len(open_files()) == before + 1
    del rows
    gc.collect()
    assert len(open_files()) == before


def test_a_full_temporary_folder_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = named(("a", 1))
    rows._db.execute("PRAGMA max_page_count = 2")
    with pytest.raises(
        SmoothvoteError, match=r"^cannot keep the list of images in a temporary file: .*; free space in "
    ):
        rows.sort("path")
