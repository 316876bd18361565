"""Summaries: the counts of complete runs are stored once, and reports read them."""

import time

import pytest
from rows import BY_HAND, finish_all, make_run
from sqlalchemy import Engine, event, select, text, update
from sqlalchemy.orm import Session

from db import control, store, summaries
from db.removal import remove
from db.runs import RunInfo
from db.session import reading, writing
from db.summaries import VERSION, summarise, summarise_so_far, tallies, unsummarised
from db.tables import Summary
from db.tally import Tally, count
from producer.summarise import REST, summarise_all, summarise_large
from report.report import report


def test_an_incomplete_run_gets_no_summary(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "half", pending=1)
    summarise(engine, run)
    with reading(engine) as session:
        assert session.scalars(select(Summary.level)).all() == []


def test_a_report_of_a_complete_run_reads_no_predictions(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "stored")
    summarise(engine, run)
    said: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    with reading(engine) as session:
        report(session, run)
    assert said
    assert not any("predictions" in statement for statement in said)


def test_counts_of_another_version_are_counted_again_and_replaced(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "old")
    summarise(engine, run)
    with writing(engine) as session:
        session.execute(update(Summary).values(version=0, tally={"unheard": 1}))
    with reading(engine) as session:
        assert tallies(session, run) == count(session, run)
    summarise(engine, run)
    with reading(engine) as session:
        assert set(session.scalars(select(Summary.version))) == {VERSION}


def test_a_user_who_may_only_read_gets_the_report(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "read-only")
    only_reads = "PRAGMA query_only = ON"
    if engine.dialect.name == "postgresql":
        only_reads = f"SET ROLE {(reader := f'reader_{engine.url.database}')}"
        with writing(engine) as session:
            session.execute(text(f"CREATE ROLE {reader}"))
            session.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}"))

    def forbid(connection: object, *_: object) -> None:
        connection.cursor().execute(only_reads)  # type: ignore[attr-defined]
        connection.commit()  # type: ignore[attr-defined]

    engine.dispose()
    event.listen(engine, "connect", forbid)
    summarise(engine, run)
    with reading(engine) as session:
        assert session.scalars(select(Summary.level)).all() == []
        assert report(session, run).levels[0].predicted == 4


def test_a_run_that_is_deleted_takes_its_summaries_along(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "gone")
    summarise(engine, run)
    with writing(engine) as session:
        for table in ("predictions", "failures"):
            session.execute(text(f"DELETE FROM {table}"))
        store.forget(session, run.id)
    with reading(engine) as session:
        assert session.scalars(select(Summary.level)).all() == []


@pytest.mark.parametrize("pending", [0, 1], ids=["complete", "so far"])
def test_a_run_that_is_deleted_while_it_is_counted_gets_no_summary(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, pending: int
) -> None:
    run = make_run(engine, BY_HAND, "deleted", pending=pending)

    def slow(session: Session, run: RunInfo) -> dict[float, Tally]:
        found = count(session, run)
        session.rollback()
        remove(engine, run.id)
        return found

    monkeypatch.setattr(summaries, "count", slow)
    (summarise_so_far if pending else summarise)(engine, run)
    with reading(engine) as session:
        assert session.scalars(select(Summary.level)).all() == []


def test_a_run_that_is_deleted_while_others_are_counted_is_passed_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, other = make_run(engine, BY_HAND, "deleted"), make_run(engine, BY_HAND, "other")
    remove(engine, run.id)
    monkeypatch.setattr("producer.summarise.unsummarised", lambda _: [run, other])
    monkeypatch.setattr("producer.summarise.large_and_open", lambda _: [run])
    summarise_all(engine)
    summarise_large(engine, {})
    with reading(engine) as session:
        assert set(session.scalars(select(Summary.run_id))) == {other.id}


def test_complete_runs_are_summarised_once_and_no_others(engine: Engine) -> None:
    done = make_run(engine, BY_HAND, "done")
    make_run(engine, BY_HAND, "open", pending=1)
    make_run(engine, [(1, "truncated", *BY_HAND[0][2:])], "nothing but failures")
    with reading(engine) as session:
        assert [run.id for run in unsummarised(session)] == [done.id]
    summarise_all(engine)
    with reading(engine) as session:
        assert unsummarised(session) == []
        assert tallies(session, done) == count(session, done)


# -- large runs that are worked on ---------------------------------------------------------------------------------


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run is large."""
    monkeypatch.setattr(summaries, "LARGE", 1)


def predicted(engine: Engine, run: RunInfo) -> list[tuple[int, int, int, int]]:
    """Of each level of the run's report: expected, predicted, failed and skipped, pending."""
    with reading(engine) as session:
        found = report(session, run)
    return [(one.expected, one.predicted, one.failed + one.skipped, one.pending) for one in found.levels]


@pytest.mark.usefixtures("large")
def test_a_report_of_a_large_run_that_is_worked_on_is_of_the_moment_when_it_was_counted(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "large", pending=8)
    summarise_large(engine, {})
    finish_all(engine, run.id, only=1)
    # What is done since then is still pending in it, so that nothing is counted twice or missing.
    assert predicted(engine, run) == [(12, 4, 0, 8)] * 2
    summarise_large(engine, {})
    assert predicted(engine, run) == [(12, 8, 0, 4)] * 2


@pytest.mark.usefixtures("large")
def test_a_large_run_that_is_complete_or_cancelled_is_counted_whole(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "large", pending=1)
    summarise_large(engine, {})
    finish_all(engine, run.id, only=1)
    with reading(engine) as session:
        assert tallies(session, run) == count(session, run)
        assert [one.id for one in unsummarised(session)] == [run.id]
    summarise(engine, run)
    with reading(engine) as session:
        assert set(session.scalars(select(Summary.version))) == {VERSION}
    other = make_run(engine, BY_HAND, "cancelled", pending=8)
    summarise_large(engine, {})
    finish_all(engine, other.id, only=1)
    with writing(engine) as session:
        control.cancel(session, other.id)
    with reading(engine) as session:
        assert tallies(session, other) == count(session, other)


@pytest.mark.usefixtures("large")
def test_a_large_run_rests_for_many_times_as_long_as_it_was_counted(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 103.0, 103.0 + REST * 3 - 1, 103.0 + REST * 3, 200.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    asked: list[str] = []
    monkeypatch.setattr("producer.summarise.summarise_so_far", lambda _, run: asked.append(run.id))
    run = make_run(engine, BY_HAND, "large", pending=2)
    resting: dict[str, float] = {}
    for _ in range(3):
        summarise_large(engine, resting)
    assert asked == [run.id, run.id]


def test_a_small_run_that_is_worked_on_is_counted_for_each_report(engine: Engine) -> None:
    run = make_run(engine, BY_HAND, "small", pending=1)
    summarise_large(engine, {})
    with reading(engine) as session:
        assert session.scalars(select(Summary.level)).all() == []
        assert tallies(session, run) == count(session, run)
