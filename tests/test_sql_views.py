"""The views against the report, and every query of docs/reference/sql.md with its answer, on both databases."""

import re
from pathlib import Path
from typing import Any

import pytest
from photos import record_photos
from rows import CERTIFICATE, LEVELS, claimed, failed, image_ids, jobs, predicted, record
from sqlalchemy import Engine, text

from db import control, store
from db.found import Counted
from db.recipe import make_recipe
from db.runs import find_run, progress
from db.session import reading, writing
from db.views import VIEWS, statements
from report.rates import RATES
from report.report import report

DOC = (Path(__file__).parent.parent / "docs" / "reference" / "sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```\n\n```text\n(.*?)```", DOC, re.S)


def query(engine: Engine, sql: str, **values: Any) -> list[dict[str, Any]]:
    with reading(engine) as session:
        return [dict(row) for row in session.execute(text(sql), values).mappings()]


def as_text(rows: list[dict[str, Any]]) -> str:
    """An answer as docs/reference/sql.md shows it: as psql does, real numbers to four decimals."""

    def shown(value: Any) -> str:
        return "" if value is None else value if isinstance(value, str) else f"{round(float(value), 4):.15g}"

    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    left = [isinstance(value, str) for value in rows[0].values()]
    lines = [
        " | ".join(cell.ljust(width) if text else cell.rjust(width) for cell, width, text in zip(row, widths, left, strict=True))
        for row in cells
    ]  # fmt: skip
    return "".join(f"{line.rstrip()}\n" for line in [lines[0], "-+-".join("-" * width for width in widths), *lines[1:]])


def by_hand(engine: Engine) -> str:
    """Eight images: right; saved; rejected, lost; wrong; without label; a grey one, a broken one, and one pending."""
    run_id = record(engine, [1, 1, 1, 2, None, 1, 1, 1], job_size=7)
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    ids = [image_id for image_id, _ in claim.images]
    views = [(1, 1, 1, 1), (7, 1, 1, 1), (1, 8, 9, None), (1, 9, 9, 9), (5, 5, 6, 5)]
    rows = [predicted(ids[n], level, *found) for level in LEVELS for n, found in enumerate(views)]
    assert store.finish(engine, claim, rows, [failed(ids[5], "grayscale"), failed(ids[6])])
    return run_id


# -- the views ---------------------------------------------------------------------------------------------------


def test_outcomes_says_of_each_image_what_became_of_it(engine: Engine) -> None:
    by_hand(engine)
    found = query(engine, "SELECT path, outcome, saved, lost, votes FROM outcomes WHERE level = 0 ORDER BY position")
    assert [tuple(row.values()) for row in found] == [
        ("0.jpg", "right", 0, 0, 3),
        ("1.jpg", "right", 1, 0, 2),
        ("2.jpg", "rejected", 0, 1, 1),
        ("3.jpg", "wrong", 0, 0, 2),  # ns says 1, and it is 2: neither has it
        ("4.jpg", "unlabelled", None, None, 2),
    ]


def test_levels_says_what_the_report_says(engine: Engine) -> None:
    for run_id in (by_hand(engine), record_photos(engine)):
        found = query(engine, "SELECT * FROM levels WHERE run_id = :run ORDER BY level", run=run_id)
        with reading(engine) as session:
            wanted = report(session, find_run(session, run_id)).levels
        for row, level in zip(found, wanted, strict=True):
            assert row["level"] == level.value
            for name in ("expected", "predicted", "failed", "skipped", "pending", "labelled", "saved", "lost"):
                assert row[name] == getattr(level, name), name
            for name in RATES:
                rate = level.rate(name)
                assert rate
                assert float(row[name]) == pytest.approx(rate.value), name


def test_without_labels_there_are_rejects_and_no_accuracies(engine: Engine) -> None:
    run_id = record(engine, [None])
    claim = store.claim(engine, jobs(engine, run_id)[0].id, worker="w", lease=60)
    assert claim
    image_id = claim.images[0][0]
    assert store.finish(engine, claim, [predicted(image_id, level, 1, 2, 3, None) for level in LEVELS], [])
    row = query(engine, "SELECT acc_ns, acc_maj, acc_maj_overall, saved, lost, reject_rate FROM levels")[0]
    assert list(row.values()) == [None, None, None, None, None, 1]
    assert query(engine, "SELECT * FROM classes") == []


def test_agreement_classes_and_confusions_count_the_same_images(engine: Engine) -> None:
    by_hand(engine)
    at_rest = "WHERE level = 0"
    found = query(
        engine, f"SELECT votes, images, labelled, right_ns, right_maj FROM agreement {at_rest} ORDER BY votes"
    )
    assert [tuple(row.values()) for row in found] == [(1, 1, 1, 1, 0), (2, 3, 2, 0, 1), (3, 1, 1, 1, 1)]
    found = query(engine, f"SELECT label, images, acc_ns, acc_maj, saved, lost FROM classes {at_rest} ORDER BY label")
    assert [tuple(map(float, row.values())) for row in found] == [
        (1, 3, pytest.approx(2 / 3), 1, 1, 1),
        (2, 1, 0, 0, 0, 0),
    ]
    found = query(engine, f"SELECT label, label_maj, images FROM confusions {at_rest}")
    assert [tuple(row.values()) for row in found] == [(2, 9, 1)]


def test_progress_and_failures_say_what_status_says(engine: Engine) -> None:
    run_id = by_hand(engine)
    (row,) = query(engine, "SELECT * FROM progress")
    with reading(engine) as session:
        status = progress(session, find_run(session, run_id))
    counts = ("expected", "done", "failed", "skipped")
    assert [row[name] for name in counts] == [getattr(status, name) for name in counts] == [8, 7, 1, 1]
    assert (row["pending"], row["jobs"], row["jobs_done"], row["complete"], row["cancelled"]) == (1, 2, 1, 0, 0)
    assert (row["perturbation"], row["smoother"]) == ("gaussian", "gaussian")
    found = query(engine, "SELECT outcome, code, images FROM failures_by_code ORDER BY code")
    assert [tuple(row.values()) for row in found] == [("skipped", "grayscale", 1), ("failed", "truncated", 1)]


def test_progress_names_another_perturbation_and_smoother(engine: Engine) -> None:
    record(engine, [1], recipe=make_recipe(levels=(0.1,), perturbation="salt_and_pepper", smoother="median"))
    (row,) = query(engine, "SELECT perturbation, smoother FROM progress")
    assert list(row.values()) == ["salt_and_pepper", "median"]


def test_a_run_that_has_not_begun_and_one_that_is_cancelled_are_in_progress(engine: Engine) -> None:
    run_id = record(engine, [1, 1])
    with writing(engine) as session:
        control.cancel(session, run_id)
    (row,) = query(engine, "SELECT done, pending, complete, cancelled, last_done_at FROM progress")
    assert list(row.values()) == [0, 2, 0, 1, None]


def by_copies(engine: Engine) -> str:
    """A certificate of two images: ten copies select, a hundred estimate. Of the second image some copies failed."""
    run_id = record(engine, [4, 5], recipe=CERTIFICATE, job_size=1, copies=110, fingerprint="c" * 64)
    for job, failures in zip(jobs(engine, run_id), (0, 1), strict=True):
        claim = claimed(engine, job.id)
        (image,) = image_ids(engine, claim)
        told = (
            (0.25, 0, 4, 8),
            (0.25, 0, 9, 2),
            (0.25, 10, 4, 60),
            (0.25, 10, 7, 40),
            (0.5, 0, 4, 10),
            (0.5, 10, 4, 100),
        )
        counts = [Counted(image_id=image, level=level, part=part, label=label, n=n) for level, part, label, n in told]
        assert store.finish(engine, claim, [], [failed(image)] * failures, counts)
    return run_id


def test_certificate_counts_keeps_selection_and_estimation_apart(engine: Engine) -> None:
    run_id = by_copies(engine)
    found = query(
        engine,
        "SELECT level, path, label, counted_label, n_selection, n_estimation FROM certificate_counts"
        " WHERE run_id = :run ORDER BY level, counted_label",
        run=run_id,
    )
    assert [tuple(row.values()) for row in found] == [
        (0.25, "0.jpg", 4, 4, 8, 60), (0.25, "0.jpg", 4, 7, 0, 40), (0.25, "0.jpg", 4, 9, 2, 0), (0.5, "0.jpg", 4, 4, 10, 100)
    ]  # fmt: skip
    (row,) = query(engine, "SELECT expected, done, pending, failed, complete, copies, selection FROM progress")
    assert list(row.values()) == [2, 2, 0, 1, 1, 110, 10]
    record(engine, [4, 5], recipe=CERTIFICATE, job_size=1, copies=210, fingerprint="c" * 64)
    (row,) = query(engine, "SELECT done, pending, complete, copies FROM progress")  # 220 of 420 copies
    assert list(row.values()) == [1, 1, 0, 210]


def test_views_of_an_older_version_are_brought_up_to_date(engine: Engine) -> None:
    by_hand(engine)
    before = query(engine, "SELECT * FROM levels ORDER BY level")
    with writing(engine) as session:
        for name in reversed(VIEWS):
            session.execute(text(f"DROP VIEW {name}"))
        session.execute(text("CREATE VIEW outcomes AS " + OLDER_OUTCOMES))
        session.execute(text("CREATE VIEW of_mine AS SELECT level, outcome FROM outcomes"))
        for statement in statements(engine.dialect.name):
            session.execute(text(statement))
    assert query(engine, "SELECT * FROM levels ORDER BY level") == before
    assert len(query(engine, "SELECT * FROM of_mine")) == 10


#: As version 0.1.0 had it.
OLDER_OUTCOMES = """
SELECT p.run_id, r.name AS run_name, p.level, i.path, i.label,
       p.label_ns, p.confidence_ns, p.label_ss, p.confidence_ss, p.label_ds, p.confidence_ds, p.label_maj,
       CASE WHEN p.label_maj IS NULL THEN 'rejected' ELSE 'wrong' END AS outcome
FROM predictions p JOIN runs r ON r.id = p.run_id JOIN images i ON i.id = p.image_id
"""


# -- docs/reference/sql.md ---------------------------------------------------------------------------------------


def test_every_query_of_the_page_answers_what_stands_there(engine: Engine) -> None:
    record_photos(engine)
    assert len(QUERIES) == DOC.count("```sql") >= 10
    for sql, answer in QUERIES:
        assert as_text(query(engine, sql)) == answer, sql


def test_the_page_describes_every_view_and_column(engine: Engine) -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|$", DOC, re.M)) == {
        name: view.row for name, view in VIEWS.items()
    }
    by_hand(engine)
    by_copies(engine)
    for name in VIEWS:
        section = DOC.split(f"\n**{name}**\n")[1].split("\n**")[0]
        described = [
            word for cells in re.findall(r"^\| (`.*?) \|", section, re.M) for word in re.findall(r"`(\w+)`", cells)
        ]
        common = {"run_id", "run_name", "level"}
        columns = query(engine, f"SELECT * FROM {name} LIMIT 1")[0]
        assert sorted(columns.keys() - common) == sorted(described), name
