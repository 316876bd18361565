"""A process of a worker of known answers, as its supervisor starts it (benchmarks/stub.py)."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    if Path(os.environ["FAULTS"], "start").exists():  # it dies before it has loaded anything
        sys.exit(3)
    import worker.process
    import worker.tasks
    from benchmarks.stub import Stubs

    worker.process.this_worker = worker.tasks.this_worker = Stubs()  # type: ignore[assignment]
    worker.process.main()
