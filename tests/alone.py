"""`run` and `certify` by one worker in this process: the rows that worker processes must find, too."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from commands import call, share_models
from rows import take_due

from db.migrations import upgrade
from db.recipe import Recipe
from db.session import open_engine
from db.settings import Settings
from producer.dataset import Dataset
from producer.submit import submit


def alone(
    *words: str | Path, cwd: Path, env: Mapping[str, str] | None = None, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs a command of which nothing but the crew is missing: its rows are in the folder's embedded database."""
    cwd.mkdir(exist_ok=True)
    share_models(cwd / ".smoothvote")
    with patch("producer.run.run_here", work_here):
        return call(*words, cwd=cwd, env=env, code=code)


def work_here(settings: Settings, recipe: Recipe, dataset: Dataset, *, workers: int, **given: Any) -> str:
    """Stands for ``producer.run.run_here``: the jobs are done in their order, without a queue."""
    from worker.compute import Compute
    from worker.worker import Worker

    assert workers == 1
    engine = open_engine(settings)
    upgrade(engine)
    run_id = submit(engine, recipe, dataset, **given).run_id
    worker = Worker(settings, Compute(settings))
    while due := take_due(engine, run_id=run_id):
        for job_id in due:
            worker.do(job_id)
    worker.engine.dispose()
    engine.dispose()
    return run_id
