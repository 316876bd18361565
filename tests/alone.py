"""`run` and `certify` by workers in this process: the rows that worker processes must find, too."""

import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

from commands import call, share_models
from rows import take_due

from db.due import release
from db.migrations import upgrade
from db.recipe import Recipe
from db.session import open_engine, writing
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
    """Stands for ``producer.run.run_here``: workers in threads take jobs from the database, without a queue."""
    from worker.compute import Compute
    from worker.worker import Worker

    engine = open_engine(settings)
    upgrade(engine)
    run_id = submit(engine, recipe, dataset, **given).run_id
    with writing(engine) as session:
        release(session, run_id, worker=None)  # as a crew does: nobody else works here

    def work(name: str) -> None:
        named = settings.model_copy(update={"worker_name": name})
        worker = Worker(named, Compute(named))
        while due := take_due(engine, run_id=run_id, room=1):
            for job_id in due:
                worker.do(job_id)
        worker.engine.dispose()

    with ThreadPoolExecutor() as pool:
        list(pool.map(work, [f"worker-{number}" for number in range(workers)]))
    engine.dispose()
    return run_id
