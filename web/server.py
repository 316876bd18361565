"""Serves the pages: opens the port, decides who may connect, and stops at a signal."""

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
        settings: where the database is.
        draw: gives the Pictures that draw images, called once for the first picture; None where Pillow is missing.
        host: the address to listen at. Without a token it must be one that only this machine reaches.
        port: the port; 0 takes any that is free.
        token: what a reader must present; None or empty: nothing.

    Raises:
        WrongUse: if the port cannot be opened, if others could read without a token, or if the database cannot be
            used.
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
            # With a token any host name is allowed, such as that of a proxy or of a forwarded port.
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
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])


def listen(host: str, port: int, token: str | None) -> socket.socket:
    """Opens a socket that listens at this address.

    Raises:
        WrongUse: if it cannot be opened, or if other machines reach the address and there is no token.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):
        raise WrongUse(
            f"--host {host}: there is no such address; 127.0.0.1 is this machine, 0.0.0.0 is all its networks"
        ) from None
    if token is None and not is_local(str(address[0])):
        raise WrongUse(
            f"--host {host}: everybody who reaches this machine could read the record: export SMOOTHVOTE_TOKEN=… first, or leave --host out"
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
    """Whether an IP address can be reached from this machine only."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
