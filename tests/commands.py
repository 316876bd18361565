"""The command line as a person calls it, in a separate process; and, much faster, in this one."""

import gc
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from sqlalchemy import Engine

from db.settings import PREFIX
from smoothvote import front_door

#: The recipe of end-to-end tests: the bundled model, and otherwise the article's.
ARTICLE = ("--model", "efficientnet_lite0", "--preset", "article")

#: Environment variable: the folder in which all tests keep the models that their workers converted.
MODELS = "TEST_MODELS"


def share_models(home: Path) -> None:
    """Lets workers of an embedded home read the models that another test's workers converted: that takes 10 s each."""
    shared = Path(os.environ[MODELS])
    shared.mkdir(exist_ok=True)
    home.mkdir(exist_ok=True)
    if not (home / "engines").exists():
        (home / "engines").symlink_to(shared)


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "smoothvote", *map(str, words)]


def environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", **(given or {})}


def smoothvote(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0, timeout: float = 240
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. Another exit code than the expected one fails the test, and shows what was printed."""
    if words[0] == "run":
        share_models(cwd / ".smoothvote")
    done = subprocess.run(
        command(*words), cwd=cwd, env=environment(env), capture_output=True, text=True, timeout=timeout, check=False
    )
    logs = "".join(log.read_text() for log in cwd.glob(".smoothvote/worker.log"))
    assert done.returncode == code, f"{words} ended with {done.returncode}\n{done.stdout}\n{done.stderr}\n{logs}"
    return done


def call(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs a command in this process, with the embedded state of a folder: for commands that start no process."""
    home = {f"{PREFIX}HOME": str(cwd / ".smoothvote")}
    with warnings.catch_warnings():
        # A command leaves its connections to the end of its process: here they are collected, without a warning.
        warnings.simplefilter("ignore", ResourceWarning)
        result = CliRunner().invoke(front_door, [*map(str, words)], env={"COLUMNS": "200", **home, **(env or {})})
        done = subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)
        assert done.returncode == code, f"{words} ended with {done.returncode}\n{result.output}\n{result.exception!r}"
        del result
        gc.collect()
    return done


def servers(engine: Engine, redis_url: str) -> dict[str, str]:
    """The environment of a command that uses this database and this queue."""
    return {
        f"{PREFIX}DATABASE_URL": engine.url.render_as_string(hide_password=False),
        f"{PREFIX}BROKER_URL": redis_url,
    }


def rows(run: str, *, cwd: Path, env: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """All stored rows of a run, by image and level."""
    said = call("images", run, "--format", "jsonl", cwd=cwd, env=env).stdout
    return [json.loads(line) for line in said.splitlines()]


def assert_same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Compares labels exactly, and confidences to 1e-3."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for name, value in theirs.items():
            if name.startswith("confidence") and value is not None:
                assert abs(ours[name] - value) < 1e-3, (ours, theirs)
            else:
                assert ours[name] == value, (ours, theirs)
