"""The whole of smoothvote for a benchmark: a Redis, a database and a worker, and where the worker's time goes."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import exists, select

from db.migrations import upgrade
from db.recipe import Recipe
from db.runs import find_run, progress
from db.session import open_engine, reading
from db.settings import PREFIX, Settings
from db.tables import Job
from producer.broker import Broker
from producer.dataset import NO_LABELS, read_dataset
from producer.dispatch import PAUSE, dispatch
from producer.labels import Labels
from producer.local import RedisServer, Workers
from producer.submit import submit

#: What a worker logs of a job.
JOB_LINE = re.compile(
    r"(?P<ended>[\d-]+ [\d:,]+) .* job \d+ of run (?P<run>\S+): .* (?P<took>[\d.]+) s \((?P<stages>.*)\)"
)


class EndToEnd:
    """A Redis, a database and a worker that stay for all turns."""

    def __init__(self, folder: Path, recipe: Recipe, stack: ExitStack) -> None:
        self.recipe = recipe
        self.folder = folder
        folder.mkdir()
        os.environ[f"{PREFIX}HOME"] = str(folder)
        redis = RedisServer(folder)
        stack.callback(redis.end)
        self.settings = Settings(home=folder, broker_url=SecretStr(redis.url))
        self.engine = open_engine(self.settings)
        stack.callback(self.engine.dispose)
        upgrade(self.engine)
        self.broker = Broker(self.settings)
        stack.callback(self.broker.close)
        self.crew = Workers(folder, redis.url, processes=1, name="throughput", grace=5)
        stack.callback(self.crew.end, at_once=True)
        self.runs: list[str] = []

    def turn(self, photographs: Path) -> dict[str, Any]:
        """One run over a folder, from its submission to its last row."""
        began = time.perf_counter()
        dataset = read_dataset(
            str(photographs), labels=Labels(self.recipe), settings=self.settings, labels_from=NO_LABELS
        )
        run_id = submit(self.engine, self.recipe, dataset).run_id
        self.runs.append(run_id)
        looks = 0
        while self._is_open(run_id):
            if looks % 10 == 0:  # as often as `smoothvote watch` does
                dispatch(self.engine, self.broker, self.settings, run_ids=[run_id])
            looks += 1
            time.sleep(PAUSE / 10)
        seconds = time.perf_counter() - began
        with reading(self.engine) as session:
            state = progress(session, find_run(session, run_id))
        views = (state.done - state.failed) * len(self.recipe.levels) * 3
        return {"views": views, "seconds": seconds, "peak_mib": self.peak_mib()}

    def _is_open(self, run_id: str) -> bool:
        with reading(self.engine) as session:
            return bool(session.scalar(select(exists().where(Job.run_id == run_id, Job.done_at.is_(None)))))

    def peak_mib(self) -> float:
        """Of the worker's largest process."""
        return max(_status(pid, "VmHWM") for pid in _descendants(os.getpid())) / 1024

    def breakdown(self) -> dict[str, float]:
        """Shares of the lanes' time by stage, from the first job's claim to the last job's end, without the first run.

        Jobs overlap: while the lanes work on one, the next is claimed and the last one committed. So these stages, in
        which the lanes go on, are left out.
        """
        log = (self.folder / "worker.log").read_text()
        lines = [match for match in map(JOB_LINE.match, log.splitlines()) if match]
        lanes = int(re.findall(r"(\d+) lanes", log)[-1])
        stages: defaultdict[str, float] = defaultdict(float)
        whole = 0.0
        for run in self.runs[1:]:
            jobs = [line for line in lines if line["run"] == run]
            for job in jobs:
                for part in job["stages"].split(", "):
                    stage, seconds = part.split()
                    if stage not in ("claim", "load", "commit"):
                        stages[stage] += float(seconds)
            began = min(_ended(job) - timedelta(seconds=float(job["took"])) for job in jobs)
            whole += lanes * (max(map(_ended, jobs)) - began).total_seconds()
        stages["waiting"] = whole - sum(stages.values())
        return {stage: round(seconds / whole, 4) for stage, seconds in stages.items()}


def _ended(job: re.Match[str]) -> datetime:
    return datetime.strptime(job["ended"], "%Y-%m-%d %H:%M:%S,%f")


def _descendants(pid: int) -> Iterator[int]:
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield int(child)
        yield from _descendants(int(child))


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
