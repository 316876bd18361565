"""The images behind a rate: by level, outcome and class, in order, and as text."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

import pytest
from rows import LEVELS, RECIPE, failed, image_ids, jobs, predicted, record
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import store
from db.axis import NOISE
from db.errors import WrongUse
from db.recipe import make_recipe
from db.runs import RunInfo, find_run
from db.session import reading
from report import rows
from report.documents.images import document
from report.exports import EXPORTS, Page
from report.formats import as_text
from report.images import LISTED, class_index, image_pages
from report.rows import as_written, written_types
from report.screen import Screen

# True classes of seven images; None is not known. The sixth's file is broken, the seventh is grey.
LABELS = [1, 1, 1, 2, None, 2, 1]
# What ns, ss, ds and the vote said of the first five.
CALM = [
    (9, 1, 1, 1),  # right: saved
    (1, 9, 9, 9),  # wrong: lost
    (1, 8, 9, None),  # rejected: lost
    (2, 2, 2, 2),  # right, as ns is: neither
    (1, 9, 9, 9),  # no label: neither
]
NOISY = [
    (9, 9, 9, 9),  # wrong, as ns is: neither
    (1, 1, 1, 1),  # right, as ns is: neither
    (9, 1, 1, 1),  # right: saved
    (7, 8, 9, None),  # rejected, and ns wrong: neither
    (7, 8, 9, None),  # rejected, no label: neither
]


@pytest.fixture
def run_id(engine: Engine) -> str:
    # Another run over other images comes first: ids do not begin with those of this run.
    record(engine, [1, 1, 1], name="other", fingerprint="other")
    run_id = record(engine, LABELS, job_size=7)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = image_ids(engine, claim)
    rows = [
        predicted(ids[n], sigma, *views)
        for sigma, level in zip(LEVELS, (CALM, NOISY), strict=True)
        for n, views in enumerate(level)
    ]
    assert store.finish(engine, claim, rows, [failed(ids[5], "truncated"), failed(ids[6], "grayscale")])
    return run_id


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with reading(engine) as session:
        yield session


@pytest.fixture
def run(session: Session, run_id: str) -> RunInfo:
    return find_run(session, run_id)


def listed(session: Session, run: RunInfo, **asked: Any) -> list[tuple[str, float | None]]:
    """Path and level of each image of a list."""
    return [
        pair for page in image_pages(session, run, **asked) for pair in zip(page["path"], page["level"], strict=True)
    ]


def written(pages: Iterable[Page], form: str) -> str:
    out = io.BytesIO()
    EXPORTS[form].write(as_written(iter(pages), RECIPE), written_types(RECIPE, LISTED), out)
    return out.getvalue().decode()


@pytest.mark.parametrize(
    ("sigma", "outcome", "paths"),
    [
        (0.0, "saved", ["0.jpg"]),
        (0.0, "lost", ["1.jpg", "2.jpg"]),
        (0.25, "saved", ["2.jpg"]),
        (0.25, "lost", []),
        (None, "saved", ["0.jpg", "2.jpg"]),
        (None, "unlabelled", ["4.jpg"]),
        (0.25, "failed", ["5.jpg"]),
    ],
)
def test_saved_and_lost_are_what_the_vote_changed(
    session: Session, run: RunInfo, sigma: float | None, outcome: str, paths: list[str]
) -> None:
    assert [path for path, _ in listed(session, run, level=sigma, outcome=outcome)] == paths


@pytest.mark.parametrize(
    ("label", "outcome", "paths"),
    [
        (2, None, ["3.jpg", "3.jpg", "5.jpg"]),
        (2, "rejected", ["3.jpg"]),
        (1, "skipped", ["6.jpg"]),
        (2, "skipped", []),
        (9, None, []),  # said by many views, and true of none
    ],
)
def test_a_class_is_the_true_one(
    session: Session, run: RunInfo, label: int, outcome: str | None, paths: list[str]
) -> None:
    assert [path for path, _ in listed(session, run, label=label, outcome=outcome)] == paths


ALL = [*((f"{n}.jpg", sigma) for sigma in LEVELS for n in range(5)), ("5.jpg", None), ("6.jpg", None)]


@pytest.mark.parametrize("span", [1, 2, 10_000])
def test_images_come_level_by_level_in_the_datasets_order_however_many_are_read_at_once(
    session: Session, run: RunInfo, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "PAGE", span)
    assert listed(session, run) == ALL


@pytest.mark.parametrize("limit", [1, 6, 11, 12, 100])
def test_a_limit_cuts_the_list_and_changes_nothing_else(session: Session, run: RunInfo, limit: int) -> None:
    assert listed(session, run, limit=limit) == ALL[:limit]


def test_csv_and_jsonl_say_the_same_and_a_table_names_the_classes(session: Session, run: RunInfo) -> None:
    pages = list(image_pages(session, run))
    table = list(csv.DictReader(io.StringIO(written(pages, "csv"))))
    lines = [json.loads(line) for line in written(pages, "jsonl").splitlines()]
    assert table == [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines]
    assert [*lines[0]][:4] == ["path", "level", "sigma", "outcome"]
    first = {"path": "0.jpg", "level": 0, "sigma": 0, "label_ns": 9, "confidence_ss": 0.25, "code": None}
    assert {name: lines[0][name] for name in first} == first
    assert (lines[10]["sigma"], lines[10]["code"], lines[10]["message"]) == (None, "truncated", "why")
    shown = as_text(document(pages, NOISE, {1: "tench"})).splitlines()
    # In a pipe a line an image: its true class, level, outcome and vote, and what each view said with which confidence.
    head = "image class σ outcome vote NS confidence SS confidence DS confidence"
    assert [line.split() for line in shown[:2]] == [["true"], head.split()]
    assert shown[3].split() == ["0.jpg", "tench", "0", "right", "tench", "9", "0.50", "tench", "0.25", "tench", "0.75"]
    assert shown[-1].split() == ["6.jpg", "tench", "–", "skipped", "grayscale:", "why", "–", "–", "–"]
    on_screen = [line.split() for line in as_text(document(pages, NOISE, {1: "tench"}), screen=Screen(80)).splitlines()]
    at = on_screen.index(["0.jpg", "0", "right", "9", "tench", "tench"])
    assert on_screen[at + 1] == ["tench", "tench", "0.50", "0.25", "0.75"]


def test_a_list_is_written_before_its_images_are_all_there() -> None:
    one: dict[str, list[Any]] = {name: [None] for name in LISTED}
    one |= {"path": ['a, "b"\nc.jpg'], "level": [0.5], "outcome": ["right"], "label": [1]}

    class Enough(Exception):
        pass

    class Pipe(io.BytesIO):
        def write(self, text: Any) -> int:
            if self.tell() > 400:
                raise Enough
            return super().write(text)

    for form, line in {
        "csv": '"a, ""b""\nc.jpg",0.5,0.5,right,1,,,,,,,,,\n',
        "jsonl": '{"path": "a, \\"b\\"\\nc.jpg", "level": 0.5, "sigma": 0.5, "outcome": "right", "label": 1, ',
    }.items():
        pipe = Pipe()
        with pytest.raises(Enough):
            EXPORTS[form].write(as_written(repeat(one), RECIPE), written_types(RECIPE, LISTED), pipe)
        assert line in pipe.getvalue().decode()


def test_a_class_is_called_by_its_name_in_any_case_or_by_its_index() -> None:
    assert class_index(RECIPE, "Tench") == class_index(RECIPE, "0") == 0
    assert class_index(RECIPE, "999") == 999
    named = make_recipe(classes=("7", "cat", "dog"))
    assert class_index(named, "7") == 0, "a name is meant before an index"
    assert class_index(named, " DOG ") == 2


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("crane", r"--class crane: no class of the model; near it: crane bird, construction crane"),
        ("dalmatan", r"near it: Dalmatian"),
        ("1000", r"give a name, or an index from 0 to 999"),
        ("-1", r"give a name, or an index from 0 to 999"),
        ("٣", r"no class of the model"),
        ("", r"no class of the model"),
    ],
)
def test_a_class_that_is_none_is_told_with_those_near_it(name: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said):
        class_index(RECIPE, name)


def test_two_classes_of_one_name_are_told_apart_by_index() -> None:
    with pytest.raises(WrongUse, match="2 classes have this name; give an index: 0, 2"):
        class_index(make_recipe(classes=("Crane", "dog", "crane")), "crane")
