"""The worker's Celery app."""

from celery import Celery
from celery.signals import setup_logging
from celery.worker.control import Panel

from db.message import celery_config
from db.settings import load_settings

app = Celery("smoothvote", amqp="worker.transport:Amqp")
app.conf.update(celery_config(load_settings()))
# Everybody who reaches Redis can send commands to workers. A worker answers ping (docker-compose.yml uses it as the
# health check) and obeys nothing else.
for command in Panel.data.keys() - {"ping"}:
    del Panel.data[command]


@setup_logging.connect
def log(**_: object) -> None:
    """Called by Celery in the place of its own setup: the process has set its log up (worker/process.py)."""
