"""A manifest as a dataset source: how its rows are read, and that a wrong row is named with its line."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from folders import NO_CLASS, labels_of, put, read, refusal, write

from db.recipe import Recipe
from db.store import Entry
from producer.labels import Labels


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
    assert list(dataset.entries) == [
        Entry(path="sub/b.jpg", label=0, bytes=5),
        Entry(path="a.jpg", label=None, bytes=5),
        Entry(path="none.jpg", label=1, bytes=None),
    ]
    assert (dataset.found, dataset.labelled, dataset.passed_over) == (3, 2, 0)


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
    assert list(dataset.entries) == [
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


@pytest.mark.parametrize("header", ["file_name, label", "File_Name,LABEL", " file_name ,label "])
def test_a_header_may_have_spaces_and_capitals(tmp_path: Path, header: str) -> None:
    manifest = write(tmp_path / "m.csv", f"{header}\na.jpg, 7\nb.jpg, \n")
    assert labels_of(read(manifest)) == {"a.jpg": 7, "b.jpg": None}


def test_the_suffix_of_a_manifest_may_be_upper_case(tmp_path: Path) -> None:
    assert labels_of(read(write(tmp_path / "M.CSV", "file_name,label\na.jpg,7\n"))) == {"a.jpg": 7}


# -- wrong use -----------------------------------------------------------------------------------------------------


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
def test_a_wrong_row_of_a_csv_manifest_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
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
def test_a_wrong_row_of_a_jsonl_manifest_is_named_with_its_line(tmp_path: Path, rows: list[Any], message: str) -> None:
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


@pytest.mark.parametrize("name", ["m.csv", "m.jsonl"])
def test_a_line_that_never_ends_is_refused_before_it_fills_the_memory(tmp_path: Path, name: str) -> None:
    manifest = tmp_path / name
    with manifest.open("wb") as opened:
        opened.truncate(2**30)  # zeros, which take no space
    tracemalloc.start()
    try:
        message = refusal(manifest)
        assert tracemalloc.get_traced_memory()[1] < 2**25
    finally:
        tracemalloc.stop()
    assert message == f"{manifest} line 1: longer than 1,048,576 characters: this is no manifest"


def test_json_true_is_not_the_class_called_true(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.jsonl", '{"file_name": "a.jpg", "label": true}')
    message = refusal(manifest, labels=Labels(Recipe(classes=("false", "true"))))
    assert message == f"{manifest} line 1: label True {NO_CLASS} below 2); --labels none measures without"


def test_a_number_of_thousands_of_digits_is_no_class(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", f"file_name,label\na.jpg,{'9' * 5000}\n")
    assert "is no class of the model" in refusal(manifest)
