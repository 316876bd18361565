"""The only glue: a message names a job, and the worker of this process does it before it is acknowledged."""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from db.message import TASK
from db.settings import load_settings
from worker.app import app

if TYPE_CHECKING:
    from worker.worker import Worker

logger = logging.getLogger("worker")


@app.task(name=TASK)
def work(*args: Any, **kwargs: Any) -> None:
    """Does the job that a message names. Whatever else a message holds is nobody's business, and is dropped."""
    job_id = args[0] if len(args) == 1 and not kwargs else None
    if type(job_id) is not int or not 0 < job_id < 2**63:
        logger.warning("dropped a message that names no job: %.100r %.100r", args, kwargs)
        return
    this_worker().do(job_id)


@cache
def this_worker() -> "Worker":
    """The worker of this process, made at its first job."""
    # Here and not above: the parent imports this module too, and is not to pay for torch.
    from worker.worker import Worker

    return Worker(load_settings())
