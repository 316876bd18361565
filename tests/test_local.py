"""The children of `smoothvote run`: its Redis, its workers, and what becomes of the command when they end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kombu import Connection

from db.errors import Refusal, SmoothvoteError
from db.settings import Settings
from producer.broker import Broker
from producer.local import RESTARTS, RedisServer, Workers, home


def workers(folder: Path, monkeypatch: pytest.MonkeyPatch, ends: str) -> Workers:
    """Workers whose process is a script that prints a line and ends."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\necho 'smoothvote: its last line' >&2\n{ends}\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return Workers(folder, "redis://127.0.0.1:1/0", processes=1, name="test", grace=1)


def ended(crew: Workers, done: int) -> bool:
    """Calls keep_up until the workers were started again; False if that never happens."""
    for _ in range(200):
        if crew.keep_up(lambda: done):
            return True
        time.sleep(0.02)
    return False


def test_workers_that_make_progress_may_end_any_number_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 1")
    assert all(ended(crew, done) for done in range(3 * RESTARTS))
    crew.end(at_once=True)


def test_workers_that_keep_ending_without_progress_end_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 1")
    assert all(ended(crew, 0) for _ in range(RESTARTS))
    with pytest.raises(SmoothvoteError, match=f"ended {RESTARTS + 1} times, with 1: smoothvote: its last line"):
        ended(crew, 0)


def test_a_signal_that_ends_the_workers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "kill -9 $$")
    assert all(ended(crew, 0) for _ in range(RESTARTS))
    with pytest.raises(SmoothvoteError, match=f"by signal {signal.SIGKILL:d} "):
        ended(crew, 0)


def test_workers_with_wrong_settings_end_the_command_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = workers(tmp_path, monkeypatch, "exit 2")
    with pytest.raises(Refusal, match=r"^its last line$"):
        ended(crew, 0)


def test_a_full_disk_does_not_keep_a_command_from_its_folder(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this machine")
    (tmp_path / "lock").symlink_to(full)
    with home(Settings(home=tmp_path)) as folder:
        assert folder == tmp_path


def test_a_command_in_a_folder_where_another_works_is_refused_with_its_process_id(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with (
        home(settings),
        pytest.raises(SmoothvoteError, match=f"process {os.getpid()} is at work in {tmp_path}: wait for it"),
        home(settings),
    ):
        pass
    with home(settings):
        pass  # the lock ends with the command that held it


def pid_of(redis: RedisServer) -> int:
    with Connection(redis.url) as connection:
        return int(connection.default_channel.client.info()["process_id"])


def test_a_redis_starts_within_two_seconds_and_is_started_again_when_it_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    redis = RedisServer(tmp_path)
    assert time.monotonic() - began < 2
    first = pid_of(redis)
    redis.keep_up()
    assert pid_of(redis) == first
    os.kill(first, signal.SIGKILL)
    redis._process.wait()
    redis.keep_up()
    assert pid_of(redis) != first
    redis.end()


def test_a_deep_folder_does_not_break_the_path_of_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / "a-folder-with-a-long-name" / ("and-another-one-in-it-" * 5)
    deep.mkdir(parents=True)
    redis = RedisServer(deep)
    assert pid_of(redis)
    redis.end()


def test_a_redis_that_a_killed_command_left_behind_is_replaced(tmp_path: Path) -> None:
    left = RedisServer(tmp_path)
    Broker(Settings(broker_url=left.url)).send([1, 2, 3])
    redis = RedisServer(tmp_path)
    assert left._process.wait(5) == 0
    assert Broker(Settings(broker_url=redis.url)).queued() == 0
    redis.end()


def test_a_queue_is_cleared_of_the_jobs_that_nobody_took(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    broker = Broker(Settings(broker_url=redis.url))
    broker.send([1, 2, 3])
    redis.clear()
    assert broker.queued() == 0
    broker.send([4])
    assert broker.queued() == 1
    redis.end()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next command ends it")
def test_a_redis_ends_with_a_command_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from producer.local import RedisServer;"
        "print(RedisServer(pathlib.Path(sys.argv[1]))._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout
        redis = Path("/proc", command.stdout.readline().strip())
        assert redis.exists()
        command.kill()
    for _ in range(100):
        if not redis.exists():
            break
        time.sleep(0.05)
    assert not redis.exists()
