"""The dataset sources: they are found by their files, and the first in order that recognises a place reads it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import labels_of, put, read, refusal, write

import db.registry
import producer.sources
from db.settings import Settings
from producer.place import Place
from producer.sources import SOURCES, source_of

#: A source as somebody would add it: the lines of a text file are images, all of class 7.
LIST = '''
from producer.sources import Contents, Found


class List:
    """A .list file with one path per line."""

    name = "list"
    order = 5
    looks_like = "a .list of paths"

    def recognises(self, place):
        return place.name.endswith(".list")

    def read(self, place, labels, settings):
        with place.open_text() as opened:
            files = place.parent.files(opened.read().split())
        root = place.parent.root(settings)
        return Contents(name="listed", root=root, images=[Found(file, 7) for file in files], passed_over=3)


MEMBER = List()
'''


@pytest.fixture
def list_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One more file in the family's folder."""
    folder = tmp_path / "sources"
    write(folder / "list.py", LIST)
    monkeypatch.setattr(producer.sources, "__path__", [*producer.sources.__path__, str(folder)])
    db.registry._members.cache_clear()
    yield
    db.registry._members.cache_clear()
    sys.modules.pop("producer.sources.list", None)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("images", "folder"),
        ("set.csv", "manifest"),
        ("deep/SET.JSONL", "manifest"),
        ("set.csv/images", "folder"),
        ("s3://bucket/set.csv", "manifest"),
        ("s3://bucket/images/", "folder"),
    ],
)
def test_a_source_recognises_a_place_by_its_name(location: str, name: str) -> None:
    assert source_of(Place.of(location, Settings(url_schemes="s3"))).name == name


def test_the_folder_is_tried_last_because_it_recognises_every_place() -> None:
    assert max(SOURCES.values(), key=lambda source: source.order).name == "folder"


def test_a_new_source_is_one_new_file(tmp_path: Path, list_source: None) -> None:
    folder = put(tmp_path / "mine", "b.jpg", "a.jpg", "c.jpg")
    dataset = read(write(folder / "some.list", "b.jpg\na.jpg\ngone.jpg\n"), limit=2)
    assert (dataset.name, dataset.root, dataset.found, dataset.passed_over) == ("listed", str(folder), 3, 3)
    assert labels_of(dataset) == {"b.jpg": 7, "a.jpg": 7}
    assert "name a folder of images, a .csv or .jsonl manifest, an .arrow file, a .list of paths, " in refusal(
        "nowhere"
    )


def test_each_source_describes_itself() -> None:
    for source in SOURCES.values():
        assert type(source).__doc__
        assert source.looks_like.startswith(("a ", "an "))
