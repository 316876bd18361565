"""Logs of workers and dispatchers: a line on stderr for each record, as text, or as JSON with the run and the job."""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Form = Literal["text", "json"]

#: Beginnings of the names of this package's loggers.
OURS = ("db", "producer", "worker")

#: What the records of this thread are about: `job` and `run`.
_ABOUT: ContextVar[dict[str, object]] = ContextVar("about", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**what: object) -> Iterator[None]:
    """Says what the records that are logged in the block are about: ``about(run=claim.run_id, job=claim.id)``."""
    token = _ABOUT.set(_ABOUT.get() | what)
    try:
        yield
    finally:
        _ABOUT.reset(token)


class Line(logging.Formatter):
    """Formats a record as one line of text. Only this package's own errors, which are bugs, keep their traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Celery logs pages about conditions that it recovers from; their first line is enough."""
        if is_ours(record):
            return super().format(record)
        short = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None, "stack_info": None})
        return " ".join(super().format(short).split("\n", 1)[0].split())


class JsonLine(logging.Formatter):
    """Formats a record as one JSON object on one line.

    Its fields are `time` (UTC), `level`, `message`, `logger`, `process`, what the record is `about`, and for a bug its
    `traceback`.

    Args:
        always: fields of every record.
    """

    def __init__(self, **always: object) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        """The same first line as in text; a bug's traceback is a field of its own."""
        message = record.getMessage()
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": message if is_ours(record) else " ".join(message.split("\n", 1)[0].split()),
            "logger": record.name,
            "process": record.process,
            **self._always,
            **_ABOUT.get(),
        }
        if record.exc_info and is_ours(record):
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def is_ours(record: logging.LogRecord) -> bool:
    """Whether this package logged the record, and not one of its libraries."""
    return record.name.partition(".")[0] in OURS


def log_to_stderr(form: Form, *, text: str = "%(asctime)s %(levelname).1s %(message)s", **always: object) -> None:
    """Logs to stderr: this package's records from INFO on, others' warnings and errors.

    Args:
        form: text or JSON.
        text: the format of a line of text.
        always: fields of every JSON object, such as the name of the worker.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLine(**always) if form == "json" else Line(text))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for ours in OURS:
        logging.getLogger(ours).setLevel(logging.INFO)
    # At each reconnection Celery warns of a default that will change; db/message.py does not use the default.
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
