"""The `worker` command: checks the machine, and starts the supervisor of its processes."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import NoReturn

import click

from db.errors import Away, WrongUse
from db.logs import log_to_stderr
from db.message import celery_config, without_secrets
from db.outage import outlast, passes
from db.session import connect
from db.settings import PREFIX, Settings, load_settings
from worker.supervisor import Supervisor

#: glibc's settings, read when a process starts. By default it returns large blocks to the kernel when they are freed,
#: and each forward pass has to map them in again. Keeping them makes EfficientNet-Lite0 on a CPU 1.6 to 2 times as fast
#: (batches of 24 and 48 views).
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}


def work(
    *, device: str | None, engine: str | None, processes: int | None, batch_size: int | None, wait: bool
) -> NoReturn:
    """Does jobs from the queue until the command is told to stop.

    Args:
        device: auto, cpu or cuda:N; None takes the environment's.
        engine: the way to run the model; None takes the environment's.
        processes: number of processes; each loads the model. None: one for each GPU, or one on the CPU.
        batch_size: the most views of a forward pass; None takes the environment's, or a default by device.
        wait: whether to wait for a queue or database that is down.

    Raises:
        WrongUse: if this machine or its settings must be changed first.
        SystemExit: at the end.
    """
    # The processes read these from the environment.
    for setting, value in {"DEVICE": device, "ENGINE": engine, "BATCH_SIZE": batch_size}.items():
        if value is not None:
            os.environ[PREFIX + setting] = str(value)
    # The random part is for containers, in which every worker has the same pid.
    name = f"{load_settings().worker_name or socket.gethostname()}:{os.getpid()}-{secrets.token_hex(3)}"
    settings = load_settings(worker_name=name)
    require_torch()
    for check in (lambda: check_queue(settings), lambda: connect(settings).dispose()):
        outlast(check, partial(click.echo, err=True), outlasts=lambda error: wait and passes(error))
    devices = devices_of(settings.device, processes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // len(devices))))
    for setting, value in KEEP_MEMORY.items():
        os.environ.setdefault(setting, value)
    os.environ[f"{PREFIX}WORKER_NAME"] = name
    on = ", ".join(dict.fromkeys(devices))
    click.echo(f"working on {without_secrets(settings.broker)}, device {on}, {len(devices)} process(es)", err=True)
    log_to_stderr(settings.log_format, worker=name)
    raise SystemExit(asyncio.run(Supervisor(settings, name, devices).run()))


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


def devices_of(wanted: str, processes: int | None) -> list[str]:
    """The device of each process of a worker.

    Args:
        wanted: auto, cpu, cuda or cuda:N. auto takes all GPUs that this command may use, or the CPU if there is none.
        processes: number of processes; with several GPUs they take them in turn. None: one for each device.

    Raises:
        WrongUse: if PyTorch cannot use the GPU that was named.
    """
    devices = [wanted]
    if wanted.startswith("cuda:"):
        _ask_torch(f"torch.zeros(1, device={wanted!r})", wanted)
    elif wanted == "cuda" or (wanted == "auto" and Path("/dev/nvidiactl").exists()):
        count = int(_ask_torch("print(torch.cuda.device_count() if torch.cuda.is_available() else 0)", wanted))
        if not count and wanted == "cuda":
            raise WrongUse("no device cuda here: PyTorch finds no GPU; --device cpu always works")
        devices = [f"cuda:{number}" for number in range(count)] or ["cpu"]
    elif wanted == "auto":
        devices = ["cpu"]
    return list(islice(cycle(devices), processes or len(devices)))


def _ask_torch(question: str, device: str) -> str:
    """What a line of Python prints, in a process of its own: this one must not hold memory of a GPU."""
    tried = [sys.executable, "-c", f"import torch; {question}"]
    done = subprocess.run(tried, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"PyTorch ended with {done.returncode}"])[-1]
        raise WrongUse(f"no device {device} here: {said}; --device cpu always works")
    return done.stdout
