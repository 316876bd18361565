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

from db.outage import passes, reason
from db.workers import BEAT, Heartbeat, beat, forget_gone
from worker.activity import Activity

logger = logging.getLogger("worker")


class Heart:
    """Writes heartbeats in a thread of its own, so that no job waits for one. An outage of the database is passed over.

    Args:
        engine: the database.
        name: by which this process claims jobs.
        activity: what it does.
        pause: seconds between two heartbeats.
    """

    def __init__(self, engine: Engine, name: str, activity: Activity, *, pause: float = BEAT) -> None:
        self._engine, self._name, self._activity, self._pause = engine, name, activity, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Writes the first heartbeat, and then one every few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Writes no more; the row stays."""
        self._over.set()
        self._thread.join()

    def _beat_on(self) -> None:
        told = ""
        while True:
            try:
                if self._activity.beat_at is None:
                    forget_gone(self._engine)
                beat(self._engine, heartbeat_of(self._name, self._activity))
                self._activity.beat_at = time.monotonic()
            except SQLAlchemyError as error:
                # A job that needs the database meets the same outage, and says so; anything else is said here, once.
                if not passes(error) and told != reason(error):
                    told = reason(error)
                    logger.warning("no heartbeat: %s", told)
            if self._over.wait(self._pause):
                return


def heartbeat_of(name: str, activity: Activity) -> Heartbeat:
    """What a process has to say at this moment.

    Args:
        name: by which it claims jobs.
        activity: what it does.
    """
    return Heartbeat(
        name=name,
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
