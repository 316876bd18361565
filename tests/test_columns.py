"""Rows of numbers: as many as a job has found, added by one statement."""

import sys

import pytest
from rows import claimed, jobs, record
from sqlalchemy import Engine, select

from db.columns import add_rows
from db.found import Counted, Predicted
from db.session import reading, writing
from db.tables import Count, Prediction

#: What a text of a number could get wrong: its last digit, a tiny one, a large one.
SURE = (0.1 + 0.2, sys.float_info.min, 1.0 - sys.float_info.epsilon / 2)


def rows_of(image_id: int, level: float, label_maj: int | None, *, label: int = 1) -> Predicted:
    return Predicted(
        image_id=image_id, level=level, label_ns=label, confidence_ns=SURE[0], label_ss=2, confidence_ss=SURE[1],
        label_ds=2**31 - 1, confidence_ds=SURE[2], label_maj=label_maj,
    )  # fmt: skip


@pytest.fixture
def run_id(engine: Engine) -> str:
    return record(engine, [0, 1])


@pytest.fixture
def images(engine: Engine, run_id: str) -> list[int]:
    return [image_id for image_id, _ in claimed(engine, jobs(engine, run_id)[0].id).images]


def test_numbers_come_back_to_the_last_bit_and_a_rejected_vote_as_null(
    engine: Engine, run_id: str, images: list[int]
) -> None:
    given = [rows_of(images[0], 0.0, 2), rows_of(images[0], 0.1, None), rows_of(images[1], 0.0, None)]
    with writing(engine) as session:
        add_rows(session.connection(), Prediction, run_id, given)
    with reading(engine) as session:
        rows = session.scalars(select(Prediction).order_by(Prediction.image_id, Prediction.level)).all()
        assert {row.run_id for row in rows} == {run_id}
        assert [Predicted(**{name: getattr(row, name) for name in vars(given[0])}) for row in rows] == given


def test_a_row_that_is_there_stays_and_the_others_are_added(engine: Engine, run_id: str, images: list[int]) -> None:
    first, again = rows_of(images[0], 0.25, 1, label=5), rows_of(images[0], 0.25, 1, label=6)
    for rows in ([first], [again, rows_of(images[1], 0.25, 1, label=7)]):
        with writing(engine) as session:
            add_rows(session.connection(), Prediction, run_id, rows)
    with reading(engine) as session:
        assert session.scalars(select(Prediction.label_ns).order_by(Prediction.image_id)).all() == [5, 7]


def test_counts_are_added_the_same_way(engine: Engine, run_id: str, images: list[int]) -> None:
    counts = [Counted(image_id=images[0], level=0.5, part=100, label=label, n=n) for label, n in ((3, 60), (4, 40))]
    with writing(engine) as session:
        add_rows(session.connection(), Count, run_id, counts)
    with reading(engine) as session:
        rows = session.execute(select(Count.level, Count.part, Count.label, Count.n).order_by(Count.label)).all()
    assert [tuple(row) for row in rows] == [(0.5, 100, 3, 60), (0.5, 100, 4, 40)]
