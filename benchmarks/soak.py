"""Does a worker that goes on for ever stay as it is? One process does thousands of small jobs, and is measured."""

import json
import os
import resource
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import torch
from PIL import Image
from sqlalchemy import Engine, func, select
from torchvision import models

from cli.flags import recipe_from
from db import submission
from db.migrations import upgrade
from db.session import open_engine, reading, writing
from db.settings import Settings
from db.store import Entry
from db.tables import Failure, Job, Prediction
from worker.compute import Compute
from worker.worker import Worker

JOB_SIZE = 4
LEVELS = (0.0, 0.25)
#: Bytes that resident memory may grow by from the first reading to the last: an allocator breathes.
BREATH = 16 * 2**20


@dataclass(frozen=True)
class Reading:
    """What this process holds after so many jobs."""

    jobs: int
    seconds: float
    resident: int
    files: int
    threads: int
    python_threads: int


def read_process(jobs: int, seconds: float) -> Reading:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Reading(
        jobs=jobs,
        seconds=round(seconds, 1),
        resident=pages * resource.getpagesize(),
        files=len(os.listdir("/proc/self/fd")),
        threads=min(_threads() for _ in range(5)),
        python_threads=threading.active_count(),
    )


def _threads() -> int:
    time.sleep(0.02)  # a thread that was joined is the system's for a moment longer
    return len(os.listdir("/proc/self/task"))


def grown(first: Reading, last: Reading) -> list[str]:
    """What grew, in words."""
    found = [
        f"{name} {getattr(first, name)} → {getattr(last, name)}"
        for name in ("files", "threads", "python_threads")
        if getattr(last, name) > getattr(first, name)
    ]
    if last.resident - first.resident > BREATH:
        found.append(f"resident memory by {(last.resident - first.resident) / 2**20:.1f} MiB")
    return found


# -- what is done ------------------------------------------------------------------------------------------------


def make_images(folder: Path, count: int) -> list[Entry]:
    """So many small photographs; of every seven one is bad, and so are all four of every fiftieth job."""
    (folder / "images").mkdir()
    (folder / "kinds").mkdir()
    good = _photographs(folder / "kinds")
    bad = [*_bad_files(folder / "kinds", good[0]), None]
    names = []
    for number in range(count):
        is_bad = number % 7 == 6 or number // JOB_SIZE % 50 == 49
        file = bad[number // 7 % len(bad)] if is_bad else good[number % len(good)]
        names.append(f"{number:06}.jpg")
        if file:
            os.link(file, folder / "images" / names[-1])
    return [Entry(path=name, label=None, bytes=None) for name in names]


def _photographs(folder: Path) -> list[Path]:
    package = find_spec("foolbox")
    if not package or not package.origin:
        raise click.ClickException("the photographs come with a package: pip install 'smoothvote[embedded]'")
    files = []
    for number, original in enumerate(sorted((Path(package.origin).parent / "data").glob("imagenet_*.jpg"))):
        with Image.open(original) as opened:
            opened.thumbnail((56 + 2 * number, 64))
            files.append(folder / original.name)
            opened.convert("RGB").save(files[-1])
    return files


def _bad_files(folder: Path, good: Path) -> Iterator[Path]:
    contents = {"truncated": good.read_bytes()[:900], "empty": b"", "text": b"no image at all"}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
        yield folder / name


def record(engine: Engine, folder: Path, jobs: int) -> str:
    """A run of so many jobs with a small network of random weights; gives its id."""
    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None, num_classes=3).state_dict(), folder / "model.pth")
    (folder / "classes.txt").write_text("a\nb\nc\n")
    recipe = recipe_from(
        preset=None, classes=folder / "classes.txt", model=str(folder / "model.pth"), arch="torchvision/squeezenet1_1",
        levels=LEVELS, resize=32, crop=32,
    )  # fmt: skip
    entries = make_images(folder, jobs * JOB_SIZE)
    fingerprint = uuid.uuid4().hex  # another soak in the same database is another run
    run_id = recipe.run_id(fingerprint)
    with writing(engine) as session:
        dataset_id = submission.record_dataset(
            session, name="soak", root=str(folder / "images"), fingerprint=fingerprint, found=len(entries),
            entries=entries,
        )  # fmt: skip
        submission.record_run(
            session, run_id=run_id, dataset_id=dataset_id, name="soak", recipe=recipe, job_size=JOB_SIZE
        )
    return run_id


def work_off(worker: Worker, run_id: str, at: int) -> Iterator[Reading]:
    """Does all jobs of a run, every tenth twice, as if its message came again; a reading after every so many."""
    with reading(worker.engine) as session:
        job_ids = session.scalars(select(Job.id).where(Job.run_id == run_id).order_by(Job.first)).all()
    began = time.monotonic()
    for done, job_id in enumerate(job_ids, start=1):
        worker.do(job_id)
        if done % 10 == 0:
            worker.do(job_id)
        if done % at == 0 or done == len(job_ids):
            yield read_process(done, time.monotonic() - began)


def count_results(engine: Engine, run_id: str) -> dict[str, int]:
    """How much there is of a run, so that nothing done is not taken for nothing grown."""
    with reading(engine) as session:
        counts = {
            "predictions": select(func.count()).where(Prediction.run_id == run_id),
            "failures": select(func.count()).where(Failure.run_id == run_id),
            "unfinished": select(func.count()).where(Job.run_id == run_id, Job.done_at.is_(None)),
        }
        return {name: session.scalars(query).one() for name, query in counts.items()}


# -- the command -------------------------------------------------------------------------------------------------


@contextmanager
def database(url: str, folder: Path) -> Iterator[Settings]:
    """Settings with a database that is set up."""
    url = f"sqlite:///{folder / 'record.db'}" if url == "sqlite" else url
    settings = Settings(database_url=url, device="cpu", batch_size=24)  # type: ignore[arg-type]
    engine = open_engine(settings)
    upgrade(engine)
    engine.dispose()
    yield settings


def show(reading: Reading) -> None:
    """One line of the table."""
    click.echo(
        f"{reading.jobs:>6} {reading.seconds:>8.1f} {reading.resident / 2**20:>13.1f} {reading.files:>6}"
        f" {reading.threads:>8} {reading.python_threads:>11}"
    )


@click.command()
@click.option("--jobs", default=2000, type=click.IntRange(1), help="Jobs to do, of four images each.")
@click.option("--at", default=200, type=click.IntRange(1), help="Jobs from one reading to the next.")
@click.option("--database", "url", default="sqlite", help="sqlite, or the URL of a database; what is stored stays.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Writes the readings there, too.")
def soak(jobs: int, at: int, url: str, file: Path | None) -> None:
    """Does many small jobs in this process and says whether its memory, files or threads grew."""
    torch.set_num_threads(1)  # batches this small: two would wait for each other most of the time
    with tempfile.TemporaryDirectory(prefix="soak-") as name, database(url, Path(name)) as settings:
        worker = Worker(settings, Compute(settings))
        run_id = record(worker.engine, Path(name), jobs)
        click.echo(f"{'jobs':>6} {'seconds':>8} {'resident MiB':>13} {'files':>6} {'threads':>8} {'of Python':>11}")
        readings = []
        for taken in work_off(worker, run_id, at):
            show(taken)
            readings.append(taken)
        results = count_results(worker.engine, run_id)
        worker.engine.dispose()
    wrong = grown(readings[0], readings[-1]) + [f"{results['unfinished']} jobs not done"] * bool(results["unfinished"])
    if file:
        told = {"readings": [asdict(reading) for reading in readings], "results": results, "wrong": wrong}
        file.write_text(json.dumps(told, indent=1))
    click.echo(f"{results['predictions']} predictions, {results['failures']} failures")
    click.echo(f"grew: {'; '.join(wrong)}" if wrong else "flat")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    soak()
