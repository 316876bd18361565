"""The axis of a run: what is recorded of it, and how its levels are named."""

from pathlib import Path

import pytest
from rows import record
from sqlalchemy import update

from db.axis import NOISE
from db.errors import WrongUse
from db.migrations import upgrade
from db.recipe import make_recipe
from db.runs import find_run
from db.session import open_engine, reading, writing
from db.settings import load_settings
from db.tables import Run
from report.rows import level_of


def test_an_axis_recorded_by_a_later_version_is_read_as_far_as_this_one_knows_it(tmp_path: Path) -> None:
    engine = open_engine(load_settings(home=tmp_path))
    upgrade(engine)
    run_id = record(engine, [1, 2])
    with writing(engine) as session:
        session.execute(update(Run).values(axis=NOISE._asdict() | {"later": 1}))
    with reading(engine) as session:
        assert find_run(session, run_id).axis == NOISE


def test_a_level_may_be_named_as_it_is_printed(tmp_path: Path) -> None:
    engine = open_engine(load_settings(home=tmp_path))
    upgrade(engine)
    run_id = record(engine, [1, 2], recipe=make_recipe(levels=(0, 0.0123456789, 0.5)))
    with reading(engine) as session:
        run = find_run(session, run_id)
    assert run.axis.number(0.0123456789) == "0.0123457"
    assert level_of(run, 0.0123457) == 0.0123456789
    with pytest.raises(WrongUse, match=r"has no level 0\.25; it has 0, 0\.0123457, 0\.5"):
        level_of(run, 0.25)


def test_what_is_no_number_is_no_level_and_breaks_no_message() -> None:
    assert [NOISE.number(level) for level in (float("nan"), float("inf"))] == ["nan", "inf"]
