"""The port at which a process is watched: its metrics for Prometheus, whether it is alive, and whether it is ready."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from db.settings import PREFIX, Settings

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

#: Says in one line why the process is not ready; None: it is.
Ready = Callable[[], str | None]

#: Seconds for which an answer about readiness is given again, so that many probes cost one look.
KEPT = 2.0


@contextmanager
def monitor(settings: Settings, collector: "Collector", ready: Ready, *, index: int = 0) -> Iterator[int | None]:
    """Answers at SMOOTHVOTE_METRICS_PORT while the block runs, in threads of its own. Unset: it does nothing.

    `/metrics` has what the collector gives and what Prometheus's client knows of the process; `/healthz` is 200 as
    long as the process answers; `/readyz` is 200, or 503 with the reason. A port that cannot be opened is logged, and
    the process does without: nothing that watches a worker may stop it.

    Args:
        settings: the address and the port.
        collector: gives the metrics, at each scrape.
        ready: why the process is not ready.
        index: number of this process among those of its worker. It is added to the port.

    Yields:
        The port; None if there is none.
    """
    if settings.metrics_port is None:
        yield None
        return
    from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app

    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(collector)
    port = settings.metrics_port + index
    try:
        server = _Server((settings.metrics_host, port), _Handler)
    except (OSError, OverflowError) as error:
        logger.warning("%sMETRICS_PORT: cannot listen at %s port %d: %s", PREFIX, settings.metrics_host, port, error)
        yield None
        return
    server.set_app(_app(make_wsgi_app(registry), _kept(ready)))
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _app(metrics: Callable[..., Any], ready: Ready) -> Callable[..., Any]:
    """The WSGI application of the three addresses."""

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return metrics(environ, start)
        status, said = "404 Not Found", "ask for /metrics, /healthz or /readyz"
        if path == "/healthz":
            status, said = "200 OK", "alive"
        elif path == "/readyz":
            why = ready()
            status, said = ("503 Service Unavailable", why) if why else ("200 OK", "ready")
        start(status, [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
        return [f"{said}\n".encode()]

    return answer


def _kept(ready: Ready) -> Ready:
    """The same, which looks once in KEPT seconds at most."""
    lock, looked, said = threading.Lock(), float("-inf"), None

    def answer() -> str | None:
        nonlocal looked, said
        with lock:
            if time.monotonic() - looked > KEPT:
                said, looked = ready(), time.monotonic()
            return said

    return answer


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def server_bind(self) -> None:
        """As WSGIServer does, without its look-up of this machine's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 5  # seconds: a client that says nothing holds no thread

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: a probe every ten seconds is no news."""
