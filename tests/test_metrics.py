"""The metrics of workers and dispatchers, as Prometheus scrapes them; and the page and the dashboard that name them."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from at_work import at_work
from pages import DOCS, ROOT
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from rows import failed, record
from sqlalchemy import Engine

from db import control
from db.session import open_engine, writing
from db.settings import Settings
from producer.broker import Broker
from producer.metrics import DispatcherMetrics, why_not_ready
from worker.activity import Activity
from worker.metrics import WorkerMetrics

PAGE = DOCS / "reference" / "metrics.md"
DASHBOARD = ROOT / "deploy" / "grafana" / "smoothvote.json"


def scraped(collector: Collector) -> dict[str, float]:
    """Each sample's value, by its name with its labels as Prometheus writes them."""
    registry = CollectorRegistry()
    registry.register(collector)
    found = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        assert family.documentation
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def names(samples: dict[str, float]) -> set[str]:
    return {name.partition("{")[0] for name in samples}


# -- dispatcher --------------------------------------------------------------------------------------------------


def test_the_dispatcher_tells_what_the_record_says(engine: Engine) -> None:
    at_work(engine)
    paused = record(engine, [1], fingerprint="e" * 64)
    with writing(engine) as session:
        control.cancel(session, paused)
    found = scraped(DispatcherMetrics(engine))
    states = {"due": 4, "queued": 2, "claimed": 1, "refused": 0, "paused": 0, "cancelled": 1, "done": 2}
    assert {state: found[f'smoothvote_jobs{{state="{state}"}}'] for state in states} == states
    assert found["smoothvote_open_jobs"] == 7
    assert found['smoothvote_runs{state="open"}'] == found['smoothvote_runs{state="cancelled"}'] == 1
    assert found['smoothvote_runs{state="complete"}'] == 0
    assert found['smoothvote_workers{state="working"}'] == found['smoothvote_workers{state="gone"}'] == 1
    assert found['smoothvote_failures{code="truncated"}'] == 3
    assert found["smoothvote_images_per_second"] == pytest.approx(0.1)
    assert found["smoothvote_oldest_due_job_seconds"] >= 0
    assert found["smoothvote_record_up"] == 1


def test_while_the_database_is_away_the_dispatcher_tells_that_and_no_old_counts(tmp_path: Path) -> None:
    engine = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'none' / 'record.db'}"))
    assert scraped(DispatcherMetrics(engine)) == {"smoothvote_record_up": 0}


def test_a_dispatcher_is_ready_when_database_and_queue_answer(engine: Engine, redis_url: str, tmp_path: Path) -> None:
    broker = Broker(Settings(broker_url=redis_url))
    assert why_not_ready(engine, broker) is None
    nowhere = Broker(Settings(broker_url=f"redis+socket://{tmp_path}/none.sock"))
    assert "cannot reach the queue" in (why_not_ready(engine, nowhere) or "")
    away = open_engine(Settings(database_url=f"sqlite:///{tmp_path / 'none' / 'record.db'}"))
    assert "cannot use the database" in (why_not_ready(away, broker) or "")


# -- worker ------------------------------------------------------------------------------------------------------


@pytest.fixture
def activity() -> Activity:
    """Two jobs of three images were stored, one of which failed, one was refused, and one is in hand."""
    activity = Activity()
    activity.engine, activity.model = "eager float32", "timm/x"
    activity.beat_at = time.monotonic()
    activity.ended("stored", images=3)
    activity.ended("stored", images=3, failed=[failed(1)])
    activity.ended("refused")
    with activity.watch.on("model"):
        pass
    return activity


def test_a_worker_tells_what_it_has_done_since_it_started(activity: Activity) -> None:
    with activity.job(7):
        found = scraped(WorkerMetrics("box:1", activity))
    ends = {"stored": 2, "refused": 1, "late": 0, "failed": 0, "handed_back": 0}
    assert {end: found[f'smoothvote_worker_jobs_total{{end="{end}"}}'] for end in ends} == ends
    assert found["smoothvote_worker_images_total"] == 6
    assert found['smoothvote_worker_failures_total{code="truncated"}'] == 1
    assert found['smoothvote_worker_stage_seconds_total{stage="model"}'] > 0
    assert found["smoothvote_worker_device_busy_seconds_total"] > 0
    assert 0 <= found["smoothvote_worker_device_idle_ratio"] <= 1
    assert found["smoothvote_worker_jobs_in_hand"] == 1
    assert found["smoothvote_worker_device_memory_bytes"] > 10_000_000
    (info,) = (name for name in found if name.startswith("smoothvote_worker_info"))
    assert 'name="box:1"' in info
    assert 'model="timm/x"' in info


# -- what names them ---------------------------------------------------------------------------------------------


def queries(panel: Any) -> Iterator[str]:
    """The PromQL queries of a dashboard."""
    if isinstance(panel, dict):
        yield from (value for name, value in panel.items() if name in ("expr", "query") and isinstance(value, str))
        panel = list(panel.values())
    if isinstance(panel, list):
        for part in panel:
            yield from queries(part)


def test_every_metric_is_in_the_reference_and_every_metric_of_the_dashboard_exists(
    engine: Engine, activity: Activity
) -> None:
    at_work(engine)
    exposed = names(scraped(DispatcherMetrics(engine)))
    exposed |= names(scraped(WorkerMetrics("box:1", activity)))
    assert set(re.findall(r"^\| `(smoothvote_\w+)", PAGE.read_text(), re.M)) == exposed
    asked = {
        name for query in queries(json.loads(DASHBOARD.read_text())) for name in re.findall(r"smoothvote_\w+", query)
    }
    assert asked <= exposed
    assert len(asked) > 10
