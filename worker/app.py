"""The worker's Celery app. The parent holds the queue, signals and time limits; its child processes load torch."""

import logging
import os
import signal
import sys
import threading

from celery import Celery
from celery.signals import setup_logging, worker_process_init, worker_shutting_down
from celery.worker.control import Panel

from db.message import celery_config
from db.settings import load_settings

app = Celery("smoothvote", amqp="worker.transport:Amqp")
app.conf.update(celery_config(load_settings()))
# A spawned child imports the modules that the configuration names, whatever the parent's command line said.
app.conf.imports = ("worker.tasks",)
# Everybody who reaches Redis can send commands to workers. A worker answers ping (docker-compose.yml uses it as the
# health check) and obeys nothing else.
for command in Panel.data.keys() - {"ping"}:
    del Panel.data[command]


class OneLine(logging.Formatter):
    """Formats a log record as one line. Only this package's own errors, which are bugs, keep their traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Celery logs pages about conditions that it recovers from; their first line is enough."""
        if record.name == "worker":
            return super().format(record)
        short = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None, "stack_info": None})
        return " ".join(super().format(short).split("\n", 1)[0].split())


@setup_logging.connect
def log_to_stderr(**_: object) -> None:
    """Logs to stderr, in the parent and in its children; of Celery's own records, warnings and errors only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname).1s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("worker").setLevel(logging.INFO)
    # About a child that died, Celery logs a page here, and JobRequest a line.
    logging.getLogger("celery.worker.request").setLevel(logging.CRITICAL)
    # At each reconnection Celery warns of a default that will change; db/message.py does not use the default.
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


@worker_process_init.connect
def obey_the_parent(**_: object) -> None:
    """Lets the parent end this child with SIGUSR2 (see worker/__init__.py), which Celery has just set to be ignored.

    Billiard puts its own handler in the place of any but an ignored one: it leaves the task and ends the process.
    """
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)


@worker_shutting_down.connect
def stop_in_time(sig: str, how: str, **_: object) -> None:
    """Gives a worker that was told to stop SMOOTHVOTE_GRACE seconds to finish its job; then it hands the job back.

    Not Celery's ``worker_soft_shutdown_timeout``: that waits its whole time, even if the job is done at once.
    """
    if how == "Warm":
        timer = threading.Timer(load_settings().grace, os.kill, (os.getpid(), signal.SIGQUIT))
        timer.daemon = True
        timer.start()
