"""The server of the pages: where it listens, whom it lets in, and how it ends."""

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from contextlib import closing, suppress

from db.errors import WrongUse
from db.settings import Settings
from report.pictures import Pictures


def serve(settings: Settings, draw: Callable[[], Pictures] | None, *, host: str, port: int, token: str | None) -> None:
    """Serves the pages until Ctrl-C or SIGTERM.

    Args:
        settings: where the record is.
        draw: makes what makes pictures, when the first is asked for; None where torch is not installed.
        host: to listen at: this machine only, unless there is a token.
        port: 0 is any that is free.
        token: who opens the pages must have it.

    Raises:
        WrongUse: if it cannot listen there, or strangers could come in; or if the database cannot be used.
    """
    import uvicorn

    from web.app import make_app
    from web.record import Record

    token = token or None
    with closing(Record(settings)) as record:
        if record.begun:
            record.check()
        with listen(host, port, token) as listening:
            address, port = listening.getsockname()[:2]
            # Whoever has the token may come by any name: a proxy's, a forwarded port's.
            mine = frozenset({"localhost", "127.0.0.1", "[::1]", _bracketed(host).lower()})
            hosts = mine if is_local(address) and not token else None
            config = uvicorn.Config(
                make_app(record, draw, token=token, hosts=hosts),
                log_config=None,
                access_log=False,
                server_header=False,
                ws="none",
                timeout_graceful_shutdown=3,
            )
            how = ", once with ?token=TOKEN" if token else ""
            print(
                f"smoothvote: open http://{_bracketed(host)}:{port}/{how} (Ctrl-C ends it)", file=sys.stderr, flush=True
            )
            with suppress(KeyboardInterrupt):  # as a person ends it
                uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int, token: str | None) -> socket.socket:
    """A socket that listens there.

    Raises:
        WrongUse: if it cannot, or if the address is not this machine's own and there is no token.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise WrongUse(
            f"--host {host}: no such address; 127.0.0.1 is this machine, 0.0.0.0 all of its networks"
        ) from None
    if token is None and not is_local(str(address[0])):
        raise WrongUse(
            f"--host {host}: whoever reaches this machine could read the record: export SMOOTHVOTE_TOKEN=… first, or leave --host out"
        )
    listening = socket.socket(family, kind, protocol)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise WrongUse(f"--port {port}: it is taken at {host}; choose another, or 0 for any that is free") from None
        raise WrongUse(f"--host {host} --port {port}: {(error.strerror or str(error)).lower()}") from None
    return listening


def is_local(address: str) -> bool:
    """Whether only this machine reaches an IP address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
