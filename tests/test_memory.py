"""A worker process leaks nothing: benchmarks/soak.py with fewer jobs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
JOBS = 400


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("soak") / "soak.json"
    command = [sys.executable, "-m", "benchmarks.soak", "--jobs", str(JOBS), "--at", "100", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert file.exists(), done.stderr
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_hundreds_of_jobs_leave_no_open_file_and_no_thread(soaked: dict[str, Any]) -> None:
    first, *_, last = soaked["readings"]
    assert (first["jobs"], last["jobs"]) == (100, JOBS)
    for name in ("files", "threads", "python_threads"):
        assert last[name] == first[name], name


def test_hundreds_of_jobs_take_no_more_memory_than_the_first_hundred(soaked: dict[str, Any]) -> None:
    first, *_, last = soaked["readings"]
    assert last["resident"] - first["resident"] <= 16 * 2**20


def test_all_of_these_jobs_were_done(soaked: dict[str, Any]) -> None:
    results = soaked["results"]
    assert results["unfinished"] == 0
    assert results["failures"] > JOBS / 2
    assert results["predictions"] + 2 * results["failures"] == 2 * 4 * JOBS  # at two levels, four images a job
