"""The message between the rooms: one job's id. And the queue's settings, which both ends must share."""

import re
from typing import Any

from db.settings import Settings

TASK = "smoothvote.job"
QUEUE = "smoothvote"

#: Above a job's hard time limit, so that Redis does not hand out a job that is still being worked on.
VISIBILITY_TIMEOUT = 4500
#: Seconds after which a job's process is killed. Far above any job's time: it frees a hung device.
TIME_LIMIT = 3600


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
            # Without these a half-open link hangs for ever.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "health_check_interval": 25,
            "priority_steps": [0],
        },
        "task_default_queue": QUEUE,
        # JSON only: pickle would let anybody who reaches Redis run code.
        "task_serializer": "json",
        "accept_content": ["json"],
        # Results are rows; nothing is kept in Redis.
        "task_ignore_result": True,
        # Acknowledge after the commit; a job whose process died goes back.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_timeout": False,
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
    return ";".join(re.sub(r"//[^/?#]*@", "//***@", part) for part in url.split(";"))
