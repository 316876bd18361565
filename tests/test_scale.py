"""The benchmark of scale, once and small: real servers, real workers, and a device that only sleeps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fleet import Busy, Used
from benchmarks.scale import work_of

ROOT = Path(__file__).parent.parent


def test_devices_count_what_falls_into_the_time_that_is_measured() -> None:
    before, after = (
        Used(10.0, {"workers": 1.0, "redis": 0.0}, 100, 50),
        Used(20.0, {"workers": 1.5, "redis": 0.1}, 120, 90),
    )
    # One was at work before and went on; one began inside and was still at work at the end.
    busy = {1: [Busy(8.0, 12.0), Busy(12.0, 16.0)], 2: [Busy(13.0, 15.0), Busy(15.0, 17.0), Busy(18.0, 22.0)]}
    work = work_of(busy, before, after, job_size=64)
    assert (work.seconds, work.jobs) == (10.0, 4)
    assert work.images_per_s == 4 * 64 / 10
    assert work.busy == pytest.approx((2 + 4 + 2 + 2 + 2) / 20)
    assert work.most_over_least == 1.0
    assert (work.transactions, work.commands) == (5.0, 10.0)
    assert work.cpu_ms == pytest.approx({"workers": 125.0, "redis": 25.0})


def test_a_small_measurement_of_one_worker(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.scale", "--workers", "1", "--images", "1280", "--json", "found.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    (point,) = found["points"]
    assert point["workers"] == 1
    assert 0 < point["busy"] <= 1
    assert point["images_per_s"] <= 10_000 / 12 * 1.05  # no more than the device can do
    assert min(point["cpu_ms"].values()) >= 0
    assert found["first_job_s"].keys() == {ROOT.name}
