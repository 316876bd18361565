"""The message from producers to workers, which names one job; and the settings of the queue, which both must share."""

import base64
import json
import re
import uuid
from typing import Any

from db.settings import Settings

TASK = "smoothvote.job"
#: The Redis list of messages. Its name ends in the generation of the database (db/tables.py): workers of an earlier
#: generation, which cannot write to the database any more, listen to another list and take no messages away.
QUEUE = "smoothvote.02"

#: Seconds after which Redis delivers an unacknowledged message again. Far above the time of any job; if one takes
#: longer, whoever gets its message again finds it taken.
VISIBILITY_TIMEOUT = 4500


def message_of(job_id: int) -> dict[str, Any]:
    """The message that names a job, in the form of Celery's protocol 2 on Redis."""
    tag = str(uuid.uuid4())
    body = json.dumps([[job_id], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])
    return {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": TASK, "id": tag, "root_id": tag, "retries": 0, "ignore_result": True},
        "properties": {
            "correlation_id": tag,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }


def job_of(message: Any) -> int | None:
    """The id of the job that a message names; None for anything but a well-formed message that names one job.

    Anybody who can reach Redis can write messages, so every part of one may be hostile.
    """
    try:
        if message["headers"]["task"] != TASK or message["properties"]["body_encoding"] != "base64":
            return None
        args, kwargs, _ = json.loads(base64.b64decode(message["body"], validate=True))
        (job_id,) = args
    except (LookupError, TypeError, ValueError, RecursionError):
        return None
    return job_id if type(job_id) is int and 0 < job_id < 2**63 and kwargs == {} else None


def celery_config(settings: Settings) -> dict[str, Any]:
    """Celery's configuration, in one place for all: of several visibility timeouts, Redis obeys the shortest."""
    return {
        "broker_url": settings.broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # In seconds. Without these a half-open connection hangs for ever; with them it is noticed within 11 s.
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "priority_steps": [0],
        },
        "task_default_queue": QUEUE,
        # JSON only: with pickle, anybody who can reach Redis could run code on the workers.
        "task_serializer": "json",
        "accept_content": ["json"],
        # Results are rows of the database; Redis keeps none.
        "task_ignore_result": True,
        # A message is acknowledged after the commit, so that a crash cannot lose its job.
        "task_acks_late": True,
        # One message for each thread: none waits here while another worker is idle.
        "worker_prefetch_multiplier": 1,
        # A short loss of Redis must not end a process that has loaded a model. A job done twice is stored once.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # Threads share one copy of the model, and one does what needs no device while another computes.
        "worker_pool": "threads",
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": True,
        "enable_utc": True,
    }


def without_secrets(url: str) -> str:
    """A queue's URL with its passwords hidden: safe to print."""
    # Hides all up to the last @: an unescaped password may contain /, ?, # or @.
    shown = ";".join(re.sub(r"//.*@", "//***@", part) for part in url.split(";"))
    return re.sub(r"(password=)[^&;]*", r"\1***", shown)
