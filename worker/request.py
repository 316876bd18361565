"""What the parent does when a child of its dies with a job in hand: it says so in the record."""

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
    """A message in the hands of a child. What a child can say of its job itself, it has said; here it cannot."""

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """As Celery asks: the child died, or was killed."""
        if not self._already_cancelled:  # told to stop: then all of this worker's jobs are handed back
            ended = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps it, traceback and all
            self._told(one_line(ended))
        super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """As Celery asks: the child was killed because it took too long."""
        self._told(f"it took longer than {timeout} s")
        super().on_timeout(soft, timeout)

    def _told(self, why: str) -> None:
        (job_id,) = self.args
        logger.warning("job %d: process %s failed: %s; it is due again", job_id, self.worker_pid, why)
        # In a thread: the parent keeps the queue, and must not wait for a database.
        threading.Thread(target=_give_up, args=(job_id, self.worker_pid), daemon=True).start()


def _give_up(job_id: int, pid: int) -> None:
    try:
        give_up(_engine(), job_id, worker=f"{load_settings().worker_name}:{pid}")
    except SQLAlchemyError as error:
        logger.warning("%s; job %d is due when its lease ends", reason(error), job_id)


@cache
def _engine() -> Engine:
    return open_engine(load_settings())
