"""The doctor's checks of the queue, and of the whole way of one photograph, from `run` to its report."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from db.checkup import NO_TORCH, NO_URL, Check, Finding, usable_settings
from db.errors import SmoothvoteError, one_line
from db.message import QUEUE, celery_config, without_secrets
from db.models import BUNDLED_MODEL
from db.settings import PREFIX, Settings
from producer.demo import demo_dataset
from producer.local import OLDEST_REDIS, end_process, redis_binary, redis_version

#: Seconds that the photograph may take. Most of them are the start of PyTorch from a cold disk.
IMAGE_LIMIT = 180
#: Settings that the check of the photograph ignores, so that it touches no database, queue or image of the user.
OWN = {f"{PREFIX}{name}" for name in ("DATABASE_URL", "BROKER_URL", "HOME", "IMAGE_ROOT", "URL_SCHEMES", "WORKER_NAME")}


def check_broker(settings: Settings) -> Finding:
    """Checks that the queue can be reached, and is set up to keep every job."""
    if "broker_url" in usable_settings()[1]:
        return Finding("skipped", "SMOOTHVOTE_BROKER_URL is wrong: see settings")
    if settings.broker_url is None:
        binary = redis_binary()
        version = ".".join(map(str, redis_version(binary)))
        return Finding("ok", f"no queue is set: `smoothvote run` starts its own Redis, {binary} {version}")
    where = without_secrets(settings.broker)
    options = celery_config(settings)["broker_transport_options"] | {"socket_timeout": 5}
    try:
        with Connection(settings.broker, transport_options=options) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
            client = connection.default_channel.client
            said, queued = client.info(), int(client.llen(QUEUE))
    except (OperationalError, RedisError, OSError) as error:
        return Finding("wrong", f"cannot use {where}: {one_line(error)}; is Redis up, and SMOOTHVOTE_BROKER_URL right?")
    except ValueError:
        # The client's message quotes parts of the URL, which may be parts of a password.
        return Finding("wrong", f"SMOOTHVOTE_BROKER_URL: {NO_URL}")
    return judge_redis(said, f"{where}, Redis {said['redis_version']}, {queued} jobs queued")


def judge_redis(said: dict[str, Any], where: str) -> Finding:
    """Whether a Redis is fit for a queue.

    Args:
        said: the answer to INFO.
        where: the server, as the finding names it.
    """
    used, most, policy = said["used_memory"], said["maxmemory"], said["maxmemory_policy"]
    memory = f"{used / 1e6:.0f} of {most / 1e6:.0f} MB used" if most else f"{used / 1e6:.0f} MB used, no maxmemory"
    shown = f"{where}, {memory}, {policy}"
    if tuple(map(int, str(said["redis_version"]).split(".")[:2])) < OLDEST_REDIS:
        return Finding("wrong", f"{shown}: install Redis 6.2 or newer")
    if policy != "noeviction":
        return Finding("wrong", f"{shown}: it drops jobs to make room; set `maxmemory-policy noeviction`")
    if most and used >= most:
        return Finding("wrong", f"{shown}: full, it takes no more jobs; raise `maxmemory`")
    if most and used >= 0.9 * most:
        return Finding("warn", f"{shown}: nearly full; raise `maxmemory`")
    return Finding("ok", shown)


def check_image(settings: Settings) -> Finding:
    """Checks that `run` gets a prediction for a photograph: through queue, worker and database, into a report."""
    if find_spec("torch") is None:
        return Finding("skipped", NO_TORCH)
    try:
        redis_binary()
        dataset = demo_dataset(settings.model_copy(update={"image_root": None}))
    except SmoothvoteError as error:
        return Finding("skipped", str(error))
    first = next(iter(dataset.entries))
    with TemporaryDirectory(prefix="smoothvote-", ignore_cleanup_errors=True) as name:
        # The name of the folder is the label.
        place = Path(name, "images", str(first.label))
        place.mkdir(parents=True)
        shutil.copy(Path(dataset.root, first.path), place)
        began = time.monotonic()
        out, err = _run(Path(name))
    predicted = 0
    with contextlib.suppress(ValueError, LookupError):
        predicted = json.loads(out)["levels"][0]["predicted"]
    if predicted == 1:
        return Finding("ok", f"1 image predicted in {time.monotonic() - began:.0f} s, from `run` to its report")
    why = (err.strip().splitlines() or ["it printed no error"])[-1].removeprefix("smoothvote: ")
    return Finding("wrong", f"`smoothvote run` gave no prediction for {first.path}: {why}")


def _run(folder: Path) -> tuple[str, str]:
    """Calls `smoothvote run` as a person does, with an empty home; returns its stdout and stderr."""
    environment = {name: value for name, value in os.environ.items() if name.upper() not in OWN}
    environment[f"{PREFIX}HOME"] = str(folder / "home")
    words = ["run", str(folder / "images"), "--model", BUNDLED_MODEL, "--levels", "0", "--format", "json"]
    # In a session of its own: Ctrl-C must not reach it and its children at once. It is told to stop, and ends them.
    with subprocess.Popen(
        [sys.executable, "-m", "smoothvote", *words], env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            out, err = child.communicate(timeout=IMAGE_LIMIT)
        except subprocess.TimeoutExpired:
            return "", f"it was not done after {IMAGE_LIMIT} s; `smoothvote demo` shows where it waits"
        finally:
            end_process(child, signal.SIGTERM, grace=30)
    return out.decode(errors="replace"), err.decode(errors="replace")


CHECKS = (Check("broker", check_broker),)
#: Left out by --quick. It has a limit of its own: IMAGE_LIMIT.
SLOW = (Check("image", check_image, limit=None),)
