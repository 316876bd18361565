"""`smoothvote top`: what goes on, as a table, as JSON, and again and again on a terminal."""

import json
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

from at_work import at_work, heartbeat
from commands import call, command, environment, servers
from sqlalchemy import Engine

from db.migrations import upgrade
from db.session import open_engine
from db.settings import Settings
from db.workers import beat


def test_top_says_what_each_worker_does_and_what_waits(engine: Engine, tmp_path: Path) -> None:
    run_id = at_work(engine)
    said = call("top", cwd=tmp_path, env=servers(engine, "redis://nowhere")).stdout
    assert "1 worker and 1 gone, 0.1 images/s over the last minute" in said  # 6 images in 60 s
    assert "Jobs: 1 claimed, 2 queued, 4 due; the oldest has waited" in said
    first, second = (line for line in said.splitlines() if line.startswith("box:"))
    for part in ("cuda:0, eager float16, timm/x", "working", "a run, job 3", "0.1", "95%", "0 s ago"):
        assert part in first
    assert "gone" in second
    assert "5 min ago" in second
    assert run_id in said
    assert "truncated" in said


def test_top_as_json_has_the_same(engine: Engine, tmp_path: Path) -> None:
    run_id = at_work(engine)
    said = json.loads(call("top", "--format", "json", cwd=tmp_path, env=servers(engine, "redis://nowhere")).stdout)
    states = {"due": 4, "queued": 2, "claimed": 1, "refused": 0, "paused": 0, "cancelled": 0}
    assert said["queue"].items() >= states.items()
    assert said["images_per_second"] == 0.1
    assert said["failures"] == {"truncated": 3}
    (run,) = said["runs"]
    assert run == {"id": run_id, "name": "a run", "images_per_second": 0.1, **states}
    working, gone = said["workers"]
    assert (working["name"], working["state"], working["jobs"]) == (
        "box:1", "working", [{"id": 3, "run": run_id, "run_name": "a run"}],
    )  # fmt: skip
    assert (working["device"], working["images"], working["busy"]) == ("cuda:0", 6, 0.95)
    assert (gone["name"], gone["state"]) == ("box:2", "gone")
    assert gone["silent_seconds"] >= 300


def test_top_over_an_empty_record_says_how_to_begin(engine: Engine, tmp_path: Path) -> None:
    said = call("top", cwd=tmp_path, env=servers(engine, "redis://nowhere")).stdout
    assert "0 workers, 0.0 images/s" in said
    assert "Jobs: 0 claimed, 0 queued, 0 due" in said
    assert "smoothvote worker" in said


def test_on_a_terminal_top_looks_again_until_ctrl_c(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / ".smoothvote")
    settings.home.mkdir()
    engine = open_engine(settings)
    upgrade(engine)
    ours, theirs = pty.openpty()
    env = environment({"TERM": "xterm", "COLUMNS": "90", "LINES": "40"})
    process = subprocess.Popen(
        command("top", "--every", "0.5"), cwd=tmp_path, env=env, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        until(ours, "0 workers")
        beat(engine, heartbeat("box:1"))
        until(ours, "box:1")
    finally:
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=30) == 0
        os.close(ours)
        engine.dispose()


def until(terminal: int, wanted: str) -> None:
    """Reads from a terminal until it has shown this."""
    said, end = "", time.monotonic() + 60
    while wanted not in said:
        assert time.monotonic() < end, said
        said += os.read(terminal, 4096).decode(errors="replace")
