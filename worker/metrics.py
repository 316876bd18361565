"""A worker process's metrics for Prometheus: its activity, read at each scrape."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from worker.activity import Activity
from worker.heartbeat import Heart


class WorkerMetrics(Collector):
    """Tells what this process has done since it started. A restarted process begins at 0, as Prometheus expects.

    Args:
        heart: knows what the process runs, and when it last reached the database.
        activity: what it has done.
    """

    def __init__(self, heart: Heart, activity: Activity) -> None:
        self._heart, self._activity = heart, activity

    def collect(self) -> Iterator[Metric]:
        """Called by Prometheus's client for a scrape: docs/reference/metrics.md has a line for each name."""
        activity, said = self._activity, self._heart.heartbeat()
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
            ("heartbeat_age_seconds", "Seconds since the database took a heartbeat.", self._heart.silent),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"smoothvote_worker_{name}", about, value=value)


def _by(name: str, about: str, label: str, values: dict[str, float]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
