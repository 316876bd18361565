"""The benchmarks are measured, not tested; but each of them can be imported."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_benchmark_can_be_imported() -> None:
    names = sorted(file.stem for file in (ROOT / "benchmarks").glob("*.py"))
    assert {"throughput", "faults", "report"} <= set(names)
    code = "; ".join(f"import benchmarks.{name}" for name in names)
    env = os.environ | {"SMOOTHVOTE_BROKER_URL": "redis://127.0.0.1:1/0"}  # the stub is a worker, which needs a queue
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
