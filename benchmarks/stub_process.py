"""A process of a worker of known answers, as its supervisor starts it (benchmarks/stub.py)."""

import sys

import worker.process
import worker.tasks
from benchmarks.stub import FAULTS, Stubs

if __name__ == "__main__":
    if (FAULTS / "start").exists():
        sys.exit(3)
    worker.process.this_worker = worker.tasks.this_worker = Stubs()  # type: ignore[assignment]
    worker.process.main()
