"""The images behind a rate: by level, outcome and class, in order, and as text."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from rows import LEVELS, RECIPE, failed, image_ids, jobs, predicted, record
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from db import store
from db.errors import WrongUse
from db.recipe import make_recipe
from db.runs import RunInfo, find_run
from db.session import reading
from report import outcomes
from report.listing import format_images
from report.outcomes import ImageOutcome, class_index, images

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
    session: Session, run: RunInfo, sigma: float | None, outcome: outcomes.Wanted, paths: list[str]
) -> None:
    assert [image.path for image in images(session, run, level=sigma, outcome=outcome)] == paths


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
    session: Session, run: RunInfo, label: int, outcome: outcomes.Wanted | None, paths: list[str]
) -> None:
    assert [image.path for image in images(session, run, label=label, outcome=outcome)] == paths


ALL = [*((f"{n}.jpg", sigma) for sigma in LEVELS for n in range(5)), ("5.jpg", None), ("6.jpg", None)]


@pytest.mark.parametrize("span", [1, 2, 10_000])
def test_images_come_level_by_level_in_the_datasets_order_however_many_are_read_at_once(
    session: Session, run: RunInfo, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "SPAN", span)
    assert [(image.path, image.level) for image in images(session, run)] == ALL


@pytest.mark.parametrize("limit", [1, 6, 11, 12, 100])
def test_a_limit_cuts_the_list_and_changes_nothing_else(session: Session, run: RunInfo, limit: int) -> None:
    assert [(image.path, image.level) for image in images(session, run, limit=limit)] == ALL[:limit]


def test_csv_and_jsonl_say_the_same_and_a_table_names_the_classes(session: Session, run: RunInfo) -> None:
    found = list(images(session, run))
    rows = list(csv.DictReader(io.StringIO("\n".join(format_images(found, "csv", {})))))
    lines = [json.loads(line) for line in format_images(found, "jsonl", {})]
    assert rows == [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines]
    assert (lines[0]["path"], lines[0]["label_ns"], lines[0]["confidence_ss"], lines[0]["code"]) == (
        "0.jpg",
        9,
        0.25,
        None,
    )
    assert (lines[10]["sigma"], lines[10]["code"], lines[10]["message"]) == (None, "truncated", "why")
    table = "".join(format_images(found[:1], "table", {1: "tench"}))
    assert "tench" in table
    assert "9 0.50" in table, "a class without a name is its index"


def test_a_list_in_lines_begins_before_its_images_are_all_there() -> None:
    def endless() -> Iterator[ImageOutcome]:
        while True:
            yield ImageOutcome(path='a, "b"\nc.jpg', level=0.5, outcome="right", label=1)

    lines = format_images(endless(), "csv", {})
    assert next(lines).startswith("path,level,outcome,label,")
    assert next(lines) == next(lines) == '"a, ""b""\nc.jpg",0.5,right,1,,,,,,,,,'
    assert json.loads(next(iter(format_images(endless(), "jsonl", {}))))["path"] == 'a, "b"\nc.jpg'


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
    with pytest.raises(WrongUse, match="2 classes are called so; give an index: 0, 2"):
        class_index(make_recipe(classes=("Crane", "dog", "crane")), "crane")


def test_a_path_that_a_spreadsheet_would_run_is_text_in_csv() -> None:
    outcome = ImageOutcome(path='=cmd|"x"\r.jpg', level=0.25, outcome="right", label=1)
    lines = list(format_images([outcome], "csv", {}))
    assert lines[1].startswith('"\'=cmd|""x""\r.jpg",0.25,right,1,,')
