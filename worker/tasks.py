"""The only glue: a message names a job, and the worker of this process does it before it is acknowledged."""

import logging
from functools import cache
from typing import TYPE_CHECKING

from db.errors import WrongUse, one_line
from db.message import TASK
from db.outage import outlast
from db.settings import load_settings
from worker.app import app

if TYPE_CHECKING:
    from worker.worker import Worker

logger = logging.getLogger("worker")


@app.task(name=TASK, Request="worker.request:JobRequest")
def work(job_id: int) -> None:
    """Does the job that a message names."""
    try:
        this_worker().do(job_id)
    except Exception as error:
        logger.exception("job %d: failed", job_id)  # a bug; the parent makes the job due again
        raise RuntimeError(one_line(error)) from None  # and nothing that Celery takes as said to itself: MemoryError


@cache
def this_worker() -> "Worker":
    """The worker of this process, made at its first job; a database that it cannot work with is waited for."""
    # Here and not above: the parent imports this module too, and is not to pay for torch.
    from worker.compute import Compute
    from worker.worker import Worker

    settings = load_settings()
    # A database that is newer than this code is waited for too. Going on to the next message would only empty the
    # queue: whoever can do its jobs gets them from the dispatcher.
    return outlast(
        lambda: Worker(settings, Compute(settings)), logger.warning, outlasts=lambda error: isinstance(error, WrongUse)
    )
