"""What the parent does with a job while a child works on it: ends it, or records that the child died."""

import logging
import threading
from functools import cache
from typing import Any

from celery.worker.request import Request
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.errors import one_line
from db.outage import reason
from db.session import open_engine
from db.settings import load_settings
from db.store import give_up

logger = logging.getLogger("worker")


class JobRequest(Request):
    """A message that a child works on. The child records how its job ends; if it cannot, the parent does it here."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Called by Celery to end the job, when the grace is over: kills the child.

        SIGKILL, because a child in a decoder or a forward pass may not react to any other signal for minutes. The
        parent hands the job back (worker/parent.py).
        """
        super().cancel(pool, signal=signal or "SIGKILL", emit_retry=emit_retry)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """Called by Celery when the child died or was killed."""
        if not self._already_cancelled:  # of a cancelled job, the parent hands everything back at its end
            error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps errors
            self._record_failure(one_line(error))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Called by Celery when it kills a child because the job took longer than the time limit."""
        self._record_failure(f"it took longer than {timeout} s")
        super().on_timeout(soft, timeout)

    def _record_failure(self, why: str) -> None:
        (job_id,) = self.args
        logger.warning("job %d: process %s failed: %s; it is due again", job_id, self.worker_pid, why)
        # In a thread: the parent must serve the queue, and cannot wait for a database.
        threading.Thread(target=_give_up, args=(job_id, self.worker_pid), daemon=True).start()


def _give_up(job_id: int, pid: int) -> None:
    try:
        give_up(_engine(), job_id, worker=f"{load_settings().worker_name}:{pid}")
    except SQLAlchemyError as error:
        logger.warning("%s; job %d is due when its lease ends", reason(error), job_id)


@cache
def _engine() -> Engine:
    return open_engine(load_settings())
