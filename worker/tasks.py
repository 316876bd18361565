"""The Celery task: a message names a job, and this process's worker does the job before the message is acknowledged."""

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
        # Some classes, such as MemoryError and Reject, are instructions to Celery; a RuntimeError is not.
        raise RuntimeError(one_line(error)) from None


@cache
def this_worker() -> "Worker":
    """The worker of this process. Made at the first job; until then it waits for a database that it can use."""
    # Imported here, because the parent imports this module too and must not load torch.
    from worker.compute import Compute
    from worker.worker import Worker

    settings = load_settings()
    # It also waits if the database is newer than this code. Taking more messages would only empty the queue; workers
    # that can do those jobs get them from the dispatcher.
    return outlast(
        lambda: Worker(settings, Compute(settings)), logger.warning, outlasts=lambda error: isinstance(error, WrongUse)
    )
