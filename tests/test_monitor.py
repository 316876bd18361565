"""The port at which a process is watched, asked over HTTP."""

import logging
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from servers import free_port

from db.monitor import monitor
from db.settings import Settings


class One(Collector):
    """One metric."""

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("one", "It is one.", value=1)


def ask(port: int | None, path: str) -> tuple[int, str]:
    """The status and the text of an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_metrics_health_and_readiness_are_told_at_the_port() -> None:
    why: list[str] = []
    settings = Settings(metrics_port=free_port())
    with monitor(settings, One(), lambda: why[-1] if why else None) as port:
        assert port == settings.metrics_port
        status, said = ask(port, "/metrics")
        assert status == 200
        assert "\none 1.0\n" in said
        assert "process_resident_memory_bytes" in said
        assert ask(port, "/healthz") == (200, "alive\n")
        assert ask(port, "/readyz") == (200, "ready\n")
        assert ask(port, "/")[0] == 404
    with pytest.raises(urllib.error.URLError):
        ask(port, "/healthz")


def test_what_is_not_ready_says_why() -> None:
    with monitor(Settings(metrics_port=free_port()), One(), lambda: "the queue is down") as port:
        assert ask(port, "/readyz") == (503, "the queue is down\n")
        assert ask(port, "/healthz")[0] == 200


def test_each_process_of_a_worker_has_the_next_port() -> None:
    settings = Settings(metrics_port=free_port())
    with monitor(settings, One(), lambda: None, index=1) as port:
        assert port == (settings.metrics_port or 0) + 1


def test_without_a_port_nothing_listens() -> None:
    with monitor(Settings(), One(), lambda: None) as port:
        assert port is None


def test_a_port_that_is_taken_is_logged_and_the_process_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(metrics_port=free_port())
    with monitor(settings, One(), lambda: None) as first, caplog.at_level(logging.WARNING):
        with monitor(settings, One(), lambda: None) as second:
            assert (first, second) == (settings.metrics_port, None)
        assert f"SMOOTHVOTE_METRICS_PORT: cannot listen at 127.0.0.1 port {first}" in caplog.text
        assert ask(first, "/healthz")[0] == 200
