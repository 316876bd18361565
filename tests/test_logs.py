"""Logs: one line a record, as text or as JSON, and what it is about."""

import json
import logging
from collections.abc import Iterator

import pytest

from db.logs import about, log_to_stderr


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """The loggers are as they were."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_record_is_one_json_object_with_its_run_job_and_worker(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("json", worker="host:1")
    with about(run="abc", job=7):
        logging.getLogger("worker").info("job %d: stored", 7)
    logging.getLogger("worker").warning("later, σ = ½")
    first, second = map(json.loads, lines(capsys))
    assert first.pop("time").endswith("+00:00")
    assert first.pop("process") > 0
    assert first == {
        "level": "info", "message": "job 7: stored", "logger": "worker", "worker": "host:1", "run": "abc", "job": 7,
    }  # fmt: skip
    assert second["message"] == "later, σ = ½"
    assert "job" not in second
    assert second["worker"] == "host:1"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_bug_keeps_its_traceback_and_a_page_of_a_library_becomes_a_line(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_stderr(form)  # type: ignore[arg-type]
    for name in ("worker", "celery.worker"):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger(name).exception("failed\n  and a page")
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1
    if form == "json":
        ours, theirs = map(json.loads, said.splitlines())
        assert "two\nlines" in ours["traceback"]
        assert theirs["message"] == "failed"
        assert "traceback" not in theirs


def test_text_is_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("text")
    with about(job=7):
        logging.getLogger("worker").info("job 7: stored")
    logging.getLogger("celery.worker").info("not shown")
    (line,) = lines(capsys)
    assert line.endswith(" I job 7: stored")
