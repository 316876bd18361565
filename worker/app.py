"""The worker's Celery app. The parent keeps the broker, signals and time limits; torch lives in its children."""

import logging
import os
import signal
import sys
import threading

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down
from celery.worker.control import Panel

from db.message import celery_config
from db.settings import load_settings

app = Celery("smoothvote", amqp="worker.transport:Amqp")
app.conf.update(celery_config(load_settings()))
# Named here and not left to the command line: a spawned child imports what this says, and nothing else.
app.conf.imports = ("worker.tasks",)
# Whoever reaches Redis may ask a worker whether it is there (docker-compose.yml does), and tell it nothing.
for command in Panel.data.keys() - {"ping"}:
    del Panel.data[command]


class OneLine(logging.Formatter):
    """A line an event. Celery tells much of what it gets over; only of a bug of ours the whole traceback is wanted."""

    def format(self, record: logging.LogRecord) -> str:
        """As logging asks."""
        if record.name == "worker":
            return super().format(record)
        short = logging.makeLogRecord(record.__dict__ | {"exc_info": None, "exc_text": None, "stack_info": None})
        return " ".join(super().format(short).split("\n", 1)[0].split())


@setup_logging.connect
def log_to_stderr(**_: object) -> None:
    """One line an event, in parent and children alike; Celery's own only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s %(levelname).1s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("worker").setLevel(logging.INFO)
    # Of a child that died this prints a page, of which JobRequest says the line.
    logging.getLogger("celery.worker.request").setLevel(logging.CRITICAL)
    # Celery's at each reconnection, of a default to come; ours is set (db/message.py).
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


@worker_shutting_down.connect
def stop_in_time(sig: str, how: str, **_: object) -> None:
    """Told to stop, a worker finishes the job in hand; if that takes too long, it hands it back.

    Celery's own soft shutdown would always take the whole of that time, however soon the job is done.
    """
    if how == "Warm":
        told = threading.Timer(load_settings().grace, os.kill, (os.getpid(), signal.SIGQUIT))
        told.daemon = True
        told.start()
