"""Summaries: the counts of complete runs are stored once, and reports read them."""

from rows import BY_HAND, make_run
from sqlalchemy import Engine, event, select, text, update

from db import store
from db.session import reading, writing
from db.summaries import VERSION, summarise, tallies, unsummarised
from db.tables import Summary
from db.tally import count
from producer.dispatch import summarise_all
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
