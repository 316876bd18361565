"""The heartbeat: a thread that writes every few seconds into the record what this worker process does."""

import logging
import os
import socket
import sys
import threading
import time
from importlib.metadata import version

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from db.outage import passes
from db.workers import BEAT, GONE_AFTER, Heartbeat, beat, forget_gone
from worker.activity import Activity

logger = logging.getLogger("worker")


class Heart:
    """Writes heartbeats in a thread of its own, so that no job waits for one. An outage of the database is passed over.

    Args:
        engine: the database.
        name: by which this process claims jobs.
        activity: what it has done.
        pause: seconds between two heartbeats.
    """

    def __init__(self, engine: Engine, name: str, activity: Activity, *, pause: float = BEAT) -> None:
        self._engine, self._name, self._activity, self._pause = engine, name, activity, pause
        self._over = threading.Event()
        self._last = time.monotonic()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Writes the first heartbeat, and then one every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Writes no more; the row stays."""
        self._over.set()
        self._thread.join()

    @property
    def silent(self) -> float:
        """Seconds since the last heartbeat that was written, or since the start."""
        return time.monotonic() - self._last

    def trouble(self) -> str | None:
        """Says that the database takes no heartbeats; None: it does."""
        return f"no heartbeat was written for {self.silent:.0f} s" if self.silent > GONE_AFTER else None

    def _beat_on(self) -> None:
        first = True
        while True:
            try:
                if first:
                    forget_gone(self._engine)
                beat(self._engine, self.heartbeat())
                self._last, first = time.monotonic(), False
            except SQLAlchemyError as error:
                # A job that needs the database meets the same outage, and says so.
                if not passes(error):
                    logger.exception("no more heartbeats of this worker")
                    return
            if self._over.wait(self._pause):
                return

    def heartbeat(self) -> Heartbeat:
        """What the next heartbeat says."""
        activity = self._activity
        return Heartbeat(
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=activity.device,
            engine=activity.engine,
            model=activity.model,
            version=version("smoothvote"),
            stage=activity.stage,
            images=activity.images,
            busy=activity.busy_share(),
            memory=memory_of(activity.device),
        )


def memory_of(device: str) -> int | None:
    """Bytes of a GPU's memory that this process holds; for the CPU, of the machine's. None where nobody can tell."""
    torch = sys.modules.get("torch")  # not imported for this: that would take seconds
    if device.startswith("cuda") and torch:
        return int(torch.cuda.memory_reserved(device))
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
