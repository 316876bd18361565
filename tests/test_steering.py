"""Commands that steer a run: what each says and does, also where there is nothing to do, or where it is refused."""

import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from alone import alone
from commands import ARTICLE, call, command, environment, rows
from rows import claimed, count, failed, finish_all, image_ids, jobs, record, take_due
from sqlalchemy import Engine
from website import one_kind

from db import store
from db.errors import SmoothvoteError
from db.runs import find_run, progress
from db.session import reading
from db.settings import PREFIX
from db.tables import Dataset, Image, Run

#: Calls a command on the record of the test, and gives what it said on stderr.
Say = Callable[..., str]


@pytest.fixture
def say(engine: Engine, database_url: str, tmp_path: Path) -> Say:
    def say(*words: str, broker: str | None = "redis://nowhere") -> str:
        env = {f"{PREFIX}DATABASE_URL": database_url} | ({f"{PREFIX}BROKER_URL": broker} if broker else {})
        done = call(*words, cwd=tmp_path, env=env)
        assert done.stdout == ""
        assert done.stderr.count("\n") <= 1
        return done.stderr.strip()

    return say


def refusal(say: Say, *words: str) -> str:
    """What a command that must be refused says: the front door prints the message of a WrongUse."""
    with pytest.raises(AssertionError, match="WrongUse") as caught:
        say(*words)
    return str(caught.value)


def word(engine: Engine, run_id: str) -> str:
    with reading(engine) as session:
        return progress(session, find_run(session, run_id)).word


def test_pause_and_resume_say_what_they_did_and_do_it_once(engine: Engine, say: Say) -> None:
    run_id = record(engine, [1] * 8, name="a")
    assert say("pause", "a") == f"paused run {run_id} a; smoothvote resume {run_id} ends the pause"
    assert say("pause", "a") == f"run {run_id} a is paused already; smoothvote resume {run_id} ends the pause"
    assert word(engine, run_id) == "paused"
    assert say("resume", "a") == f"resumed run {run_id} a; smoothvote watch {run_id}"
    assert say("resume", "a") == f"run {run_id} a is open: there is no pause to end"
    assert word(engine, run_id) == "open"


@one_kind
def test_without_a_queue_of_its_own_a_run_goes_on_by_the_command_that_submitted_it(engine: Engine, say: Say) -> None:
    record(engine, [1], name="a")
    say("pause", "a")
    assert say("resume", "a", broker=None).endswith("a; the command that submitted it goes on with it")


def test_cancel_says_how_to_resume(engine: Engine, say: Say) -> None:
    run_id = record(engine, [1] * 8, name="a")
    assert say("cancel", "a") == f"cancelled run {run_id} a; submitting it again resumes it"
    assert say("cancel", "a") == f"run {run_id} a is cancelled already; submitting it again resumes it"
    assert word(engine, run_id) == "cancelled"


def test_jobs_on_the_queue_are_due_at_once_when_a_cancelled_run_is_submitted_again(engine: Engine, say: Say) -> None:
    run_id = record(engine, [1] * 8)
    sent = take_due(engine)
    say("cancel", run_id)
    assert store.claim(engine, sent[0], worker="w", lease=60) is None
    record(engine, [1] * 8)
    assert take_due(engine) == sent


def test_a_complete_run_has_nothing_to_cancel_pause_or_resume(engine: Engine, say: Say) -> None:
    run_id = record(engine, [1] * 8, name="a")
    finish_all(engine, run_id)
    for verb in ("cancel", "pause"):
        assert say(verb, "a") == f"run {run_id} a is complete: there is nothing to {verb}"
    assert say("resume", "a") == f"run {run_id} a is complete: there is no pause to end"
    with reading(engine) as session:
        run = find_run(session, run_id)
    assert (run.cancelled_at, run.paused_at) == (None, None)  # a later `retry` finds it open


@one_kind
@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_a_cancelled_run_is_neither_paused_nor_resumed(engine: Engine, say: Say, verb: str) -> None:
    record(engine, [1], name="a")
    say("cancel", "a")
    assert f"is cancelled: there is nothing to {verb}; submitting it again resumes it" in refusal(say, verb, "a")


@one_kind
@pytest.mark.parametrize(
    "words", [("cancel",), ("pause",), ("resume",), ("priority", "1"), ("retry", "--code", "x"), ("rm", "--yes")]
)
def test_an_unknown_run_is_named(engine: Engine, say: Say, words: tuple[str, ...]) -> None:
    verb, *rest = words
    assert "'nope' is no run's id or name; `smoothvote runs` lists them" in refusal(say, verb, "nope", *rest)


def test_a_run_of_a_higher_priority_is_sent_first_and_the_number_may_be_below_zero(engine: Engine, say: Say) -> None:
    first, second = (record(engine, [1] * 8, fingerprint=letter * 64, name=letter) for letter in "ab")
    assert say("priority", "b", "5") == f"run {second} b has priority 5"
    assert take_due(engine, room=2) == [job.id for job in jobs(engine, second)]
    assert say("priority", "b", "-5") == f"run {second} b has priority -5"
    assert take_due(engine) == [job.id for job in jobs(engine, first)]


@one_kind
def test_the_priority_of_a_run_without_jobs_to_send_is_said_to_count_later(engine: Engine, say: Say) -> None:
    finish_all(engine, record(engine, [1], name="a"))
    assert say("priority", "a", "5").endswith("it is complete, and the priority counts once it has jobs to send")


def failing(engine: Engine, *codes: str, name: str = "a") -> str:
    """A complete run of an image for each code, with which it failed."""
    run_id = record(engine, [1] * len(codes), name=name, job_size=len(codes))
    claim = claimed(engine, jobs(engine, run_id)[0].id)
    rows = [failed(image, code) for image, code in zip(image_ids(engine, claim), codes, strict=True)]
    assert store.finish(engine, claim, [], rows)
    return run_id


def test_retry_says_how_many_images_are_pending_and_what_computes_them(engine: Engine, say: Say) -> None:
    run_id = failing(engine, "missing", "missing", "empty")
    there = "its codes are empty (1), missing (2)"
    assert f"failed with it: did you mean missing? {there}" in refusal(say, "retry", "a", "--code", "mising")
    assert f"failed with it: {there}" in refusal(say, "retry", "a", "--code", "x")
    said = say("retry", "a", "--code", "missing")
    assert said == f"2 images are pending again in run {run_id} a; smoothvote watch {run_id}"
    say("pause", "a")
    said = say("retry", "a", "--code", "empty")
    assert said == f"1 image is pending again in run {run_id} a; the run is paused: smoothvote resume {run_id}"
    assert "no image of run" in refusal(say, "retry", "a", "--code", "empty")


def test_rm_deletes_a_run_that_has_ended_and_asks_first(engine: Engine, say: Say) -> None:
    run_id = record(engine, [1] * 8, name="a")
    assert f"is open, not complete: smoothvote cancel {run_id} first" in refusal(say, "rm", "a", "--yes")
    say("cancel", "a")
    assert f"this deletes run {run_id} a for ever: add --yes if that is meant" in refusal(say, "rm", "a")
    assert count(engine, Run) == 1
    assert say("rm", "a", "--yes") == f"deleted run {run_id} a"
    assert [count(engine, table) for table in (Run, Image, Dataset)] == [0, 0, 0]


@one_kind
def test_on_a_terminal_rm_asks_and_no_is_no(engine: Engine, database_url: str, tmp_path: Path) -> None:
    run_id = record(engine, [1] * 8, name="a")
    finish_all(engine, run_id)

    def answered(answer: bytes) -> tuple[str, int]:
        here, there = pty.openpty()
        os.write(here, answer)
        env = environment({f"{PREFIX}DATABASE_URL": database_url})
        done = subprocess.run(
            command("rm", "a"), stdin=there, capture_output=True, text=True, env=env, cwd=tmp_path, check=False, timeout=60
        )  # fmt: skip
        os.close(here)
        os.close(there)
        return done.stderr, done.returncode

    said, code = answered(b"n\n")
    assert f"Delete run {run_id} a, 8 images done, for ever? [y/N]" in said
    assert (said.endswith(f"smoothvote: run {run_id} a is not deleted\n"), code) == (True, SmoothvoteError.exit_code)
    assert count(engine, Run) == 1
    assert answered(b"y\n")[1] == 0
    assert count(engine, Run) == 0


def test_a_repaired_image_is_computed_by_retry_and_the_same_command(tmp_path: Path, photographs: list[Path]) -> None:
    """A disk that gave wrong bytes: size and time of the file are those that it had, so it is the same dataset."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for photograph in photographs[:3]:
        shutil.copy2(photograph, folder)
    broken, good = folder / photographs[1].name, photographs[1]
    whole = good.stat()
    broken.write_bytes(bytes(whole.st_size))
    os.utime(broken, ns=(whole.st_atime_ns, whole.st_mtime_ns))
    run = ("run", folder, *ARTICLE, "--name", "mine", "--priority", "3")
    env = {f"{PREFIX}ENGINE": "eager"}
    alone(*run, cwd=tmp_path, env=env)
    before = rows("mine", cwd=tmp_path)
    assert "not_an_image" in call("images", "mine", "--outcome", "failed", cwd=tmp_path).stdout

    shutil.copy2(good, broken)
    said = call("retry", "mine", "--code", "not_an_image", cwd=tmp_path).stderr
    assert said.startswith("1 image is pending again in run ")
    alone(*run, cwd=tmp_path, env=env)
    after = rows("mine", cwd=tmp_path)
    assert len(call("runs", "--json", cwd=tmp_path).stdout.splitlines()) == 1
    assert call("images", "mine", "--outcome", "failed", "--format", "jsonl", cwd=tmp_path).stdout == ""
    assert sum(row["path"] == broken.name for row in after) == 4
    others = [row for row in before if row["path"] != broken.name]
    assert [row for row in after if row["path"] != broken.name] == others
    call("rm", "mine", "--yes", cwd=tmp_path)
    assert call("runs", "--json", cwd=tmp_path).stdout == ""
