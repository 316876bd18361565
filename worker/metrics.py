"""A worker process's metrics for Prometheus: its activity, read at each scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.activity import Activity
from worker.heartbeat import heartbeat_of


class WorkerMetrics(Collector):
    """Tells what this process has done since it started. A restarted process begins at 0, as Prometheus expects.

    Args:
        name: by which the process claims jobs.
        activity: what it does.
    """

    def __init__(self, name: str, activity: Activity) -> None:
        self._name, self._activity = name, activity

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus's client for a scrape: docs/reference/metrics.md has a line for each name."""
        activity = self._activity
        said = heartbeat_of(self._name, activity)
        yield InfoMetricFamily(
            "smoothvote_worker",
            "The process and what it runs.",
            {
                "name": said.name,
                "device": said.device,
                "engine": said.engine or "",
                "model": said.model or "",
                "version": said.version,
            },
        )
        yield _by("smoothvote_worker_jobs", "Jobs that ended, by how.", "end", dict(activity.jobs))
        yield CounterMetricFamily(
            "smoothvote_worker_images", "Images whose results were stored.", value=activity.images
        )
        yield _by(
            "smoothvote_worker_failures", "Images without a prediction, by code.", "code", dict(activity.failures)
        )
        yield _by(
            "smoothvote_worker_stage_seconds", "Seconds in each stage, added up over threads.", "stage",
            activity.watch.so_far(),
        )  # fmt: skip
        yield CounterMetricFamily(
            "smoothvote_worker_device_busy_seconds", "Seconds with the device busy.", value=activity.watch.busy()
        )
        for name, about, value in (
            ("device_idle_ratio", "Share of the last minute in which the device was idle.", 1 - said.busy),
            ("device_memory_bytes", "Memory that the process holds: of its GPU, or of the machine.", said.memory),
            ("jobs_in_hand", "Jobs that are claimed and not finished.", len(activity.in_hand)),
            ("heartbeat_age_seconds", "Seconds since the database took a heartbeat.", activity.silent),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"smoothvote_worker_{name}", about, value=value)


def _by(name: str, about: str, label: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
