"""One process of a worker: a Celery worker that has several jobs in hand, on one device.

Celery's threads do the jobs. The main thread holds the queue: it takes a message as soon as another is acknowledged, so
while one job is computed, the next one is claimed, read and drawn, and the one before is committed.

    python -m worker.process NUMBER         as the supervisor starts it (worker/supervisor.py)
"""

import logging
import os
import signal
import sys
import threading
import warnings
from functools import partial
from typing import Any, NoReturn

from celery.apps.worker import Worker, install_worker_term_handler
from celery.platforms import SecurityWarning
from celery.signals import worker_shutting_down
from celery.utils.nodenames import default_nodename, host_format

from db.garbage import collect_seldom
from db.logs import log_to_stderr
from db.monitor import monitor
from db.settings import load_settings
from worker import turns
from worker.activity import OWN
from worker.app import app
from worker.heartbeat import Heart
from worker.metrics import WorkerMetrics
from worker.ready import why_not_ready
from worker.tasks import this_worker
from worker.worker import name_of_process

logger = logging.getLogger("worker")

#: Jobs that a process has in hand at a time, by device: the one that is computed, the next, and the one that is
#: committed. A CPU computes and does all the rest.
IN_HAND = {"cpu": 2, "cuda": 3}


class OneProcess(Worker):
    """A Celery worker that obeys SIGTERM alone, and finishes its jobs. Other signals are for the supervisor."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """Called by Celery to set its handlers."""
        install_worker_term_handler(worker)


@worker_shutting_down.connect
def begin_no_further_job(**_: object) -> None:
    """Jobs whose turn has not come are handed back; those that are computed are finished."""
    turns.stopping.set()


def end_with_the_supervisor() -> None:
    """Ends this process when the supervisor has ended: another may work with these devices soon."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def load() -> None:
    """Loads PyTorch, which takes seconds, while the queue is connected. A process that cannot do it ends."""
    try:
        worker = this_worker()
    except Exception:
        logger.exception("cannot work")
        os._exit(1)
    Heart(worker.engine, worker.name, OWN).start()


def main() -> NoReturn:
    """Does jobs until SIGTERM."""
    collect_seldom()
    settings = load_settings()
    number, name = int(sys.argv[1]), name_of_process(settings)
    log_to_stderr(settings.log_format, worker=name)
    # Celery warns root because unpickling messages could run code as root; this worker accepts JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Ctrl-C and others go to all processes of a terminal.
    for ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    end_with_the_supervisor()
    threading.Thread(target=load, daemon=True).start()
    device = settings.device.partition(":")[0]
    node = default_nodename(f"smoothvote-{os.getppid()}-{number}@%h")
    options = {"without_gossip": True, "without_mingle": True, "quiet": True}
    process = OneProcess(app, host_format(node), concurrency=IN_HAND.get(device, 2), **options)
    with monitor(settings, WorkerMetrics(name, OWN), partial(why_not_ready, settings, OWN), index=number):
        process.start()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
