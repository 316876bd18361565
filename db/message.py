"""The message between the rooms: one job's id. And the queue's settings, which both ends must share."""

import base64
import json
import re
import uuid
from typing import Any

from db.settings import Settings

TASK = "smoothvote.job"
QUEUE = "smoothvote"

#: Above a job's hard time limit, so that Redis does not hand out a job that is still being worked on.
VISIBILITY_TIMEOUT = 4500
#: Seconds after which a job's process is killed. Far above any job's time: the last resort, after SMOOTHVOTE_STALL.
TIME_LIMIT = 3600


def message_of(job_id: int) -> dict[str, Any]:
    """The message that names a job, as Celery's protocol 2 has it on Redis."""
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
    """The job that a message names; None if it is anything but a message that names a job, and nothing else.

    Whoever reaches Redis can write messages: each part of one is taken for hostile.
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
    """Celery's configuration, as plain data. The smallest visibility timeout of any client wins: hence one place."""
    return {
        "broker_url": settings.broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # Seconds. Without these a half-open link hangs for ever; with them it is noticed in 1 + 2 · 5 at most.
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "priority_steps": [0],
        },
        "task_default_queue": QUEUE,
        # JSON only: pickle would let anybody who reaches Redis run code.
        "task_serializer": "json",
        "accept_content": ["json"],
        # Results are rows; nothing is kept in Redis.
        "task_ignore_result": True,
        # Acknowledge after the commit.
        "task_acks_late": True,
        # A job whose process died is not put back on the queue, where it would kill the next one at once, for ever:
        # the record says that it is due again, and how often it was tried (worker/request.py).
        "task_reject_on_worker_lost": False,
        "task_acks_on_timeout": True,
        "task_time_limit": TIME_LIMIT,
        "worker_prefetch_multiplier": 1,
        # A Redis blip must not kill a process that holds a model; a job done twice is stored once.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_pool": "prefork",
        # Spawn: CUDA, OpenMP and database sockets do not survive a fork.
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 120.0,
        "worker_hijack_root_logger": False,
        "worker_enable_remote_control": True,
        "enable_utc": True,
    }


def without_secrets(url: str) -> str:
    """A broker's URL that may be printed."""
    # Up to the last @, whatever stands before it: a password that was not escaped may hold any of /?#@.
    shown = ";".join(re.sub(r"//.*@", "//***@", part) for part in url.split(";"))
    return re.sub(r"(password=)[^&;]*", r"\1***", shown)
