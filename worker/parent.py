"""The worker's parent process: checks the machine, runs Celery, and hands unfinished jobs back when it ends."""

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

#: glibc's settings, read when a process starts. By default it returns large blocks to the kernel when they are freed,
#: and each forward pass has to map them in again. Keeping them makes EfficientNet-Lite0 on a CPU 1.6 to 2 times as fast
#: (batches of 24 and 48 views).
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def work(*, device: str | None, engine: str | None, processes: int, batch_size: int | None, wait: bool) -> NoReturn:
    """Does jobs from the queue until the process is told to stop.

    Args:
        device: auto, cpu or cuda:N; None takes the environment's.
        engine: the way to run the model; None takes the environment's.
        processes: number of child processes; each loads the model.
        batch_size: the most views of a forward pass; None takes the environment's, or a default by device.
        wait: whether to wait for a queue or database that is down.

    Raises:
        WrongUse: if this machine or its settings must be changed first.
        SystemExit: at the end, with Celery's exit code.
    """
    # Child processes are spawned: they read these from the environment.
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

    # In the database, the names of the children begin with this one. The random part is for containers, in which every
    # worker has the same pid.
    name = f"{load_settings().worker_name or socket.gethostname()}:{os.getpid()}-{secrets.token_hex(3)}"
    os.environ[f"{PREFIX}WORKER_NAME"] = name
    settings = load_settings()
    for check in (lambda: check_queue(settings), lambda: connect(settings).dispose()):
        outlast(check, partial(click.echo, err=True), outlasts=lambda error: wait and passes(error))
    check_device(settings.device)
    click.echo(
        f"working on {without_secrets(settings.broker)}, device {settings.device}, {processes} process(es)", err=True
    )
    # Celery warns root because unpickling messages could run code as root; this worker accepts JSON only.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    node = f"smoothvote-{os.getpid()}@%h"
    arguments = ["--concurrency", str(processes), "--without-gossip", "--without-mingle", "--hostname", node]
    try:
        celery.params[0].default = app
        raise SystemExit(celery.main(["--quiet", "worker", *arguments], standalone_mode=False))
    finally:
        hand_back(settings, name)


def require_torch() -> None:
    """Raises WrongUse, with what to install, on a machine without PyTorch, such as one that only submits."""
    from importlib.util import find_spec

    missing = [name for name in ("torch", "torchvision", "kornia", "timm", "PIL") if find_spec(name) is None]
    if missing:
        raise WrongUse(f"this needs {', '.join(missing)}: pip install 'smoothvote[worker]'")


def check_queue(settings: Settings) -> None:
    """Connects to the queue once, because Celery itself would print a page, or wait without a word.

    Raises:
        Away: if the queue cannot be reached.
        WrongUse: if its URL cannot be read.
    """
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
    except (TypeError, ValueError):  # an option that the client does not know; its message may quote the password
        raise WrongUse(f"SMOOTHVOTE_BROKER_URL: Redis's client cannot read {where}") from None


def hand_back(settings: Settings, name: str) -> None:
    """Makes this worker's unfinished jobs due at once; they would otherwise wait until their leases end.

    Args:
        settings: for the database.
        name: of the worker; the names of its children begin with it.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from db import store
    from db.outage import reason
    from db.session import open_engine

    try:
        store.hand_back(open_engine(settings), worker=name)
    except SQLAlchemyError as error:
        click.echo(f"{reason(error)}; this worker's unfinished jobs are due in {settings.lease:.0f} s", err=True)


def check_device(device: str) -> None:
    """Tries a GPU that was named, before the worker takes a job.

    Raises:
        WrongUse: if PyTorch cannot use it.
    """
    if not device.startswith("cuda"):
        return
    # In another process, because the parent must not load torch or hold memory of the GPU.
    tried = [sys.executable, "-c", f"import torch; torch.zeros(1, device={device!r})"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"PyTorch ended with {done.returncode}"])[-1]
        raise WrongUse(f"no device {device} here: {said}; --device cpu always works")
