"""The worker's parent process: checks the machine, starts Celery, and hands back what its children had in hand."""

import os
import secrets
import socket
import subprocess
import sys
import warnings
from functools import partial
from typing import NoReturn

import click

from db.errors import Away, WrongUse
from db.message import celery_config, without_secrets
from db.settings import PREFIX, Settings

#: glibc hands large blocks back to the kernel at every free, and each forward pass then faults them in again. Keeping
#: them makes EfficientNet-Lite0 on a CPU 1.6 to 2 times as fast (batches of 24 and 48 views). Read at start.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def work(*, device: str | None, engine: str | None, processes: int, batch_size: int | None, wait: bool) -> NoReturn:
    """Does jobs from the queue until told to stop.

    Args:
        device: auto, cpu or cuda:N; None: as the environment says.
        engine: how the model is run; None: as the environment says.
        processes: child processes, each with a model of its own.
        batch_size: views of a forward pass, at most; None: by device.
        wait: whether a queue or database that is down is waited for.

    Raises:
        WrongUse: if this machine cannot work as it is set up.
        SystemExit: at the end.
    """
    # Children are spawned: what they are to know they find in the environment.
    for name, value in {"DEVICE": device, "ENGINE": engine, "BATCH_SIZE": batch_size}.items():
        if value is not None:
            os.environ[PREFIX + name] = str(value)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    for name, value in KEEP_MEMORY.items():
        os.environ.setdefault(name, value)

    require_torch()
    from celery.bin.celery import celery
    from celery.platforms import SecurityWarning

    from db.outage import outlast, passes
    from db.session import connect
    from db.settings import load_settings
    from worker.app import app

    # Which of all workers it is: the children's names in the record begin so. A container's pid is always the same.
    name = f"{load_settings().worker_name or socket.gethostname()}:{os.getpid()}-{secrets.token_hex(3)}"
    os.environ[f"{PREFIX}WORKER_NAME"] = name
    settings = load_settings()
    for check in (lambda: check_queue(settings), lambda: connect(settings).dispose()):
        outlast(check, partial(click.echo, err=True), outlasts=lambda error: wait and passes(error))
    check_device(settings.device)
    click.echo(
        f"working on {without_secrets(settings.broker)}, device {settings.device}, {processes} process(es)", err=True
    )
    # Celery warns of running as root because pickle would be a hole; here only JSON is accepted.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    node = f"smoothvote-{os.getpid()}@%h"
    arguments = ["--concurrency", str(processes), "--without-gossip", "--without-mingle", "--hostname", node]
    try:
        celery.params[0].default = app
        raise SystemExit(celery.main(["--quiet", "worker", *arguments], standalone_mode=False))
    finally:
        hand_back(settings, name)


def require_torch() -> None:
    """Says what to install where torch is not, as on a producer machine."""
    from importlib.util import find_spec

    missing = [name for name in ("torch", "torchvision", "kornia", "timm", "PIL") if find_spec(name) is None]
    if missing:
        raise WrongUse(f"this needs {', '.join(missing)}: pip install 'smoothvote[worker]'")


def check_queue(settings: Settings) -> None:
    """Ends with one line where Celery would print a page, or wait without a word."""
    from kombu import Connection
    from kombu.exceptions import OperationalError

    where, options = without_secrets(settings.broker), celery_config(settings)["broker_transport_options"]
    try:
        with Connection(settings.broker, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
    except (OperationalError, OSError) as error:
        raise Away(
            f"cannot reach the queue at {where}: {error}; is Redis up, and is SMOOTHVOTE_BROKER_URL right?"
        ) from None
    except (TypeError, ValueError):  # of an option that it does not know; its words may hold parts of the URL
        raise WrongUse(f"SMOOTHVOTE_BROKER_URL: Redis's client cannot read {where}") from None


def hand_back(settings: Settings, name: str) -> None:
    """Makes the jobs that this worker was stopped in due at once, where they would wait for the end of their lease."""
    from sqlalchemy.exc import SQLAlchemyError

    from db import store
    from db.outage import reason
    from db.session import open_engine

    try:
        store.hand_back(open_engine(settings), worker=name)
    except SQLAlchemyError as error:
        click.echo(f"{reason(error)}; what this worker had in hand is due in {settings.lease:.0f} s", err=True)


def check_device(device: str) -> None:
    """Tries a GPU that was asked for by name, before any job is taken."""
    if not device.startswith("cuda"):
        return
    # In a process of its own: this one, the parent, is to stay without torch and without a CUDA context.
    tried = [sys.executable, "-c", f"import torch; torch.zeros(1, device={device!r})"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"PyTorch ended with {done.returncode}"])[-1]
        raise WrongUse(f"no device {device} here: {said}; --device cpu always can")
