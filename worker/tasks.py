"""The Celery task: a message names a job, and this process's worker does the job before the message is acknowledged."""

import logging
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

from db.errors import WrongUse
from db.message import TASK
from db.outage import outlast
from db.settings import load_settings
from worker.app import app

if TYPE_CHECKING:
    from worker.worker import Worker

logger = logging.getLogger("worker")

_MAKING = Lock()


@app.task(name=TASK)
def work(job_id: int) -> None:
    """Does the job that a message names."""
    try:
        this_worker().do(job_id)
    except Exception:
        # A bug. Its lease ends, or the dispatcher finds that nobody claimed it: Celery does not need to know.
        logger.exception("job %d: failed", job_id)


def this_worker() -> "Worker":
    """The worker of this process. Made once; until then it waits for a database that it can use."""
    with _MAKING:
        return _made()


@cache
def _made() -> "Worker":
    # Imported here, because they load PyTorch.
    from worker.compute import Compute
    from worker.worker import Worker

    settings = load_settings()
    # It also waits if the database is newer than this code. Taking more messages would only empty the queue; workers
    # that can do those jobs get them from the dispatcher.
    return outlast(
        lambda: Worker(settings, Compute(settings)), logger.warning, outlasts=lambda error: isinstance(error, WrongUse)
    )
