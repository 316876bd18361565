"""Watching a run: what is said where stderr is no terminal, and when the watch ends."""

import os
import pty
import sys
from contextlib import suppress

import pytest
from rows import CERTIFICATE, claimed, finish_all, jobs, record
from sqlalchemy import Engine

import producer.watch
from db import control, store
from db.errors import INCOMPLETE
from db.runs import Progress, find_run
from db.session import reading, writing
from db.summaries import unsummarised
from producer.watch import left, watch


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer.watch, "LOOK", 0.01)
    monkeypatch.setattr(producer.watch, "LINE", 0.0)


def test_a_complete_run_ends_the_watch_and_its_counts_are_stored(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = record(engine, [1] * 5)
    seen: list[Progress] = []

    def work(state: Progress) -> None:
        seen.append(state)
        finish_all(engine, run_id)

    with reading(engine) as session:
        run = find_run(session, run_id)
    assert watch(engine, run, each_look=work).complete
    assert [state.done for state in seen] == [0]
    first, last = capsys.readouterr().err.splitlines()
    assert first == "0 of 5 images, 0 failed"
    assert last.startswith("5 of 5 images, ")
    assert last.endswith(" images/s, 0 failed")
    with reading(engine) as session:
        assert unsummarised(session) == []


def test_the_progress_of_a_certificate_is_in_copies_and_follows_when_more_are_asked_for(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = record(engine, [1] * 2, recipe=CERTIFICATE, job_size=2, copies=110)
    more = iter([lambda: record(engine, [1] * 2, recipe=CERTIFICATE, job_size=2, copies=210)])

    def work(_: Progress) -> None:
        for job in jobs(engine, run_id):
            if not job.done_at:
                assert store.finish(engine, claimed(engine, job.id), [], [])
        for ask in more:
            ask()

    with reading(engine) as session:
        run = find_run(session, run_id)
    assert watch(engine, run, each_look=work).complete
    lines = [line.split(", ") for line in capsys.readouterr().err.splitlines()]
    assert [line[0] for line in lines] == ["0 of 220 copies", "220 of 420 copies", "420 of 420 copies"]
    assert lines[-1][1].endswith(" copies/s")


def test_on_a_terminal_the_bar_says_what_it_waits_for_and_leaves_no_line(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = record(engine, [1] * 5)
    with reading(engine) as session:
        run = find_run(session, run_id)
    master, slave = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    looks = iter(range(30))  # 0.3 s, in which the bar is drawn at least once
    said = b""
    with open(slave, "w", encoding="utf-8") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", terminal)
        watch(
            engine,
            run,
            each_look=lambda _: None if next(looks, None) is not None else finish_all(engine, run_id),
            waiting="loading PyTorch",
        )
        os.set_blocking(master, False)
        with suppress(BlockingIOError):
            while part := os.read(master, 65536):
                said += part
    os.close(master)
    assert "0 failed · loading PyTorch".encode() in said
    assert said.count(b"\n") == said.count(b"\x1b[1A") == 1


def test_a_cancelled_run_ends_the_watch(engine: Engine) -> None:
    run_id = record(engine, [1] * 5)

    def cancel(_: Progress) -> None:
        with writing(engine) as session:
            control.cancel(session, run_id)

    with reading(engine) as session:
        run = find_run(session, run_id)
    state = watch(engine, run, each_look=cancel)
    assert (state.complete, state.cancelled, state.done) == (False, True, 0)


def test_ctrl_c_ends_with_3_and_a_line_that_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, left("left; the run goes on"):
        raise KeyboardInterrupt
    assert ended.value.code == INCOMPLETE
    assert capsys.readouterr().err == "smoothvote: left; the run goes on\n"
