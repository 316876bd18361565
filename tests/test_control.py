"""What a person tells a run: pause, go on, be served before the others."""

from rows import claimed, finish_all, jobs, record, take_due
from sqlalchemy import Engine, text, update

from db import control, store
from db.runs import find_run, progress
from db.session import reading, writing
from db.tables import Job, now


def pause(engine: Engine, run_id: str) -> None:
    with writing(engine) as session:
        control.pause(session, run_id)


def resume(engine: Engine, run_id: str) -> None:
    with writing(engine) as session:
        control.resume(session, run_id)


def test_of_a_paused_run_no_job_is_sent_and_the_others_go_on(engine: Engine) -> None:
    paused, other = (record(engine, [0] * 8, fingerprint=letter * 64) for letter in "ab")
    pause(engine, paused)
    assert take_due(engine) == [job.id for job in jobs(engine, other)]
    resume(engine, paused)
    assert take_due(engine) == [job.id for job in jobs(engine, paused)]


def test_a_worker_leaves_a_job_of_a_paused_run_on_the_queue_and_no_attempt_counts(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    sent = take_due(engine)
    pause(engine, run_id)
    assert store.claim(engine, sent[0], worker="w", lease=60) is None
    resume(engine, run_id)
    assert take_due(engine) == sent  # at once, and not after the time of a lost message
    assert [job.attempts for job in jobs(engine, run_id)] == [0, 0]


def test_a_job_in_hand_is_finished_during_a_pause(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    claim = claimed(engine, take_due(engine)[0])
    pause(engine, run_id)
    assert store.renew(engine, claim, worker="w", lease=60)
    assert store.finish(engine, claim, [], [])
    resume(engine, run_id)
    assert take_due(engine) == [jobs(engine, run_id)[1].id]


def test_a_job_sent_while_its_run_was_being_paused_is_due_after_the_pause(engine: Engine) -> None:
    run_id = record(engine, [0] * 4)
    pause(engine, run_id)
    with writing(engine) as session:  # by a dispatcher that had read the run before
        session.execute(update(Job).values(sent_at=now()))
    resume(engine, run_id)
    assert take_due(engine) == [jobs(engine, run_id)[0].id]


def test_a_run_says_that_it_is_paused_and_how_urgent_it_is(engine: Engine) -> None:
    run_id = record(engine, [0] * 8)
    with writing(engine) as session:
        control.prioritise(session, run_id, 7)
        control.pause(session, run_id)
    with reading(engine) as session:
        run = find_run(session, run_id)
        assert (progress(session, run).word, run.priority) == ("paused", 7)
        assert session.execute(text("SELECT paused, priority FROM progress")).one() == (1, 7)
    resume(engine, run_id)
    finish_all(engine, run_id)
    with reading(engine) as session:
        assert progress(session, run).word == "complete"
