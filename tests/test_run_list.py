"""The list of runs: on a terminal, in a pipe, as JSON, and in the API of `serve`."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from rows import RECIPE, record
from sqlalchemy import Engine, update

from db.recipe import make_recipe
from db.runs import list_runs, progress
from db.session import reading, writing
from db.tables import Run
from report.document import Document, Stacked, Table
from report.documents.runs import document
from report.formats import as_text
from report.screen import Screen
from web.api import progress_json

ATTACK = make_recipe(model="efficientnet_lite0", perturbation="pgd-linf", levels=(0.1,), smoother="median")
#: The first run was created before the second, and submitted again after it.
TIMES = {"first": (1, 3), "second": (2, 2)}


@pytest.fixture
def listed(engine: Engine) -> Iterator[Document]:
    for recipe, name in ((RECIPE, "first"), (ATTACK, "second")):
        run_id = record(engine, [1, 1], recipe=recipe, name=name)
        created, submitted = (datetime(2026, 1, day, tzinfo=UTC) for day in TIMES[name])
        with writing(engine) as session:
            session.execute(update(Run).where(Run.id == run_id).values(created_at=created, submitted_at=submitted))
    with reading(engine) as session:
        yield document([(run, progress(session, run)) for run in list_runs(session)])


def test_the_run_submitted_last_is_first_and_says_when_that_was(listed: Document) -> None:
    rows = as_text(listed).splitlines()[2:4]
    assert [row.split()[1] for row in rows] == ["first", "second"]
    assert [next(word for word in row.split() if word.startswith("2026-")) for row in rows] == [
        "2026-01-03",
        "2026-01-02",
    ]
    assert [row["submitted_at"][:10] for row in listed.data] == ["2026-01-03", "2026-01-02"]
    assert [row["created_at"][:10] for row in listed.data] == ["2026-01-01", "2026-01-02"]


def test_a_run_is_listed_with_what_is_done_to_its_images_and_what_smooths_them(
    listed: Document, engine: Engine
) -> None:
    names = [("gaussian", "gaussian"), ("pgd-linf", "median")]
    assert [(row["perturbation"], row["smoother"]) for row in listed.data] == names
    assert "efficientnet_lite0, pgd-linf, smoothed by median" in as_text(listed)
    with reading(engine) as session:
        api = [progress_json(run, progress(session, run)) for run in list_runs(session)]
    assert [(row["perturbation"], row["smoother"]) for row in api] == names
    assert [row["submitted_at"] for row in api] == [row["submitted_at"] for row in listed.data]


def test_a_pipe_has_a_record_a_line_and_a_terminal_two_texts_one_below_the_other() -> None:
    rows = [[Stacked("a", "one"), Stacked("3×3", "σ 1"), 1], [Stacked("b", ""), None, None]]
    shown = Document(headline=[], summary=Table(head=["name, model", "kernel", "n"], rows=rows))
    lines = [line.split() for line in as_text(shown).splitlines()]
    assert lines[0] == ["name", "model", "kernel", "n"]
    assert lines[2:] == [["a", "one", "3×3", "σ", "1", "1"], ["b", "–", "–"]]
    lines = [line.split() for line in as_text(shown, screen=Screen(80)).splitlines()]
    assert lines[:2] == [["name,"], ["model", "kernel", "n"]]
    assert lines[3:5] == [["a", "3×3", "1"], ["one", "σ", "1"]]
