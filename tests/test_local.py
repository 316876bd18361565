"""The children of `smoothvote run`: what becomes of the command when they end."""

import signal
import sys
import time
from pathlib import Path

import pytest

from db.errors import Refusal, SmoothvoteError
from db.settings import Settings
from producer.local import RESTARTS, Workers, home


def workers(folder: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> Workers:
    """Workers in whose place a script runs that says something and ends."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\necho 'smoothvote: what it said last' >&2\n{ends}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return Workers(folder, "redis://127.0.0.1:1/0", processes=1, name="test", grace=1)


def ended(crew: Workers, done: int) -> bool:
    """Looks after the workers until they were started again."""
    for _ in range(200):
        if crew.keep_up(done):
            return True
        time.sleep(0.02)
    return False


def test_workers_that_get_on_may_end_as_often_as_they_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 1")
    assert all(ended(crew, done) for done in range(3 * RESTARTS))
    crew.end(at_once=True)


def test_workers_that_end_and_get_nothing_done_end_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 1")
    assert all(ended(crew, 0) for _ in range(RESTARTS))
    with pytest.raises(SmoothvoteError, match=f"ended {RESTARTS + 1} times, with 1: smoothvote: what it said last"):
        ended(crew, 0)


def test_a_signal_that_ends_the_workers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "kill -9 $$")
    assert all(ended(crew, 0) for _ in range(RESTARTS))
    with pytest.raises(SmoothvoteError, match=f"by signal {signal.SIGKILL:d} "):
        ended(crew, 0)


def test_workers_that_are_set_up_wrong_end_the_command_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 2")
    with pytest.raises(Refusal, match=r"^what it said last$"):
        ended(crew, 0)


def test_a_full_disk_does_not_keep_a_command_from_its_folder(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this machine")
    (tmp_path / "lock").symlink_to(full)
    with home(Settings(home=tmp_path)) as folder:
        assert folder == tmp_path
