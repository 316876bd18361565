"""The worker's Celery app. The parent keeps the broker, signals and time limits; torch lives in its children."""

import logging
import sys

from celery import Celery
from celery.signals import setup_logging

from db.message import celery_config
from db.settings import load_settings

app = Celery("smoothvote")
app.conf.update(celery_config(load_settings()))
# Named here and not left to the command line: a spawned child imports what this says, and nothing else.
app.conf.imports = ("worker.tasks",)


@setup_logging.connect
def log_to_stderr(**_: object) -> None:
    """One line an event, in parent and children alike; Celery's own only from warnings on."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname).1s %(message)s", stream=sys.stderr, force=True
    )
    logging.getLogger("worker").setLevel(logging.INFO)
