"""How far more workers carry: devices of a set rate that only sleep, on one real Redis and one real PostgreSQL.

    python -m benchmarks.scale --workers 1,2,4,8,16
    python -m benchmarks.scale --workers 1,4 --against ../older     another checkout in turn, in the same run
    python -m benchmarks.scale --rate 0 --workers 4                 devices that take no time: the ceiling of the rest

Everything runs on this machine, so beyond its cores more workers measure the machine. Nothing else should run on it.
"""

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.fleet import LEVELS, Busy, Fleet, Used

ROOT = Path(__file__).parent.parent
#: Seconds for which there is work while a worker is added.
STARTING = 90


@dataclass
class Work:
    """What the workers did between two moments."""

    seconds: float
    #: Those that ended.
    jobs: int
    images_per_s: float
    #: The share of the time in which the devices computed.
    busy: float
    #: Jobs of the worker that did most, over those of the one that did least.
    most_over_least: float
    #: A job.
    transactions: float
    commands: float
    #: Milliseconds of CPU a job, by part.
    cpu_ms: dict[str, float]

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU a job, all processes together."""
        return sum(self.cpu_ms.values())


@dataclass
class Point:
    """What was measured with one number of workers of a checkout."""

    code: str
    workers: int
    #: Seconds from the start of the processes until all waited for a message.
    ready: float
    work: Work


def measure(fleet: Fleet, code: Path, workers: int, images: int) -> Point:
    """One run of so many images a worker: measured from when all are at work until the queue runs out."""
    jobs = workers * images // fleet.job_size
    ready = fleet.start(code, workers)
    run_id = fleet.record_run(jobs)
    fleet.until(lambda: _began(fleet) == workers, "every worker to do two jobs")
    before = fleet.used()
    # Until there may be none left on the queue: a process has a few in hand.
    fleet.until(lambda: sum(map(len, fleet.busy().values())) >= jobs - 3 * workers, "the queue to run out")
    after, busy = fleet.used(), fleet.busy()
    fleet.check(run_id, jobs)
    fleet.stop()
    return Point(code.name, workers, ready, work_of(busy, before, after, job_size=fleet.job_size))


def _began(fleet: Fleet) -> int:
    return sum(len(of_one) >= 2 for of_one in fleet.busy().values())


def work_of(busy: dict[int, list[Busy]], before: Used, after: Used, *, job_size: int) -> Work:
    """What devices did between two moments, and what that took.

    Args:
        busy: when each device computed; it may begin earlier and end later.
        before: what all processes had used at the first moment.
        after: what they had used at the second.
        job_size: images of a job.
    """
    seconds = after.at - before.at
    done = [sum(before.at < job.ended <= after.at for job in of_one) for of_one in busy.values()]
    computed = sum(
        max(0.0, min(job.ended, after.at) - max(job.begun, before.at)) for of_one in busy.values() for job in of_one
    )
    jobs = sum(done)
    return Work(
        seconds=seconds,
        jobs=jobs,
        images_per_s=jobs * job_size / seconds,
        busy=computed / (len(busy) * seconds),
        most_over_least=max(done) / max(1, min(done)),
        transactions=(after.transactions - before.transactions) / jobs,
        commands=(after.commands - before.commands) / jobs,
        cpu_ms={part: 1000 * (spent - before.cpu[part]) / jobs for part, spent in after.cpu.items()},
    )


def time_to_first_job(fleet: Fleet, code: Path) -> float:
    """Seconds from the start of a worker that is added to a running queue until its device computes."""
    fleet.start(code, 1)
    jobs = fleet.images // fleet.job_size
    for _ in range(ceil(STARTING * fleet.rate / (3 * len(LEVELS) * fleet.job_size) / jobs)):
        fleet.record_run(jobs)
    fleet.until(lambda: _began(fleet) == 1, "the first worker to do two jobs")
    began = time.monotonic()
    fleet.add_worker()
    fleet.until(lambda: len([one for one in fleet.busy().values() if one]) == 2, "the second worker to do a job")
    first = max(of_one[0].begun for of_one in fleet.busy().values())
    fleet.stop()
    return first - began


def table_of(points: list[Point], fleet: Fleet) -> Table:
    """A line a point."""
    device = f"devices of {fleet.rate:g} views/s" if fleet.rate else "devices that take no time"
    table = Table(title=f"{fleet.job_size} images a job, {device}; of a job: transactions, Redis commands, CPU ms")
    table.add_column("code")
    for heading in (
        "workers", "images/s", "jobs/s", "busy", "of linear", "most/least", "trans.", "Redis", "CPU", "workers",
        "postgres", "redis", "dispatcher", "CPU µs/row",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for point in points:
        work = point.work
        fewest = next(one for one in points if one.code == point.code)
        linear = work.images_per_s / point.workers / (fewest.work.images_per_s / fewest.workers)
        table.add_row(
            point.code, str(point.workers), f"{work.images_per_s:.0f}", f"{work.jobs / work.seconds:.1f}",
            f"{work.busy:.3f}" if fleet.rate else "–", f"{linear:.3f}", f"{work.most_over_least:.2f}",
            f"{work.transactions:.1f}", f"{work.commands:.1f}", f"{work.cpu:.1f}",
            *(f"{work.cpu_ms[part]:.1f}" for part in ("workers", "postgres", "redis", "dispatcher")),
            f"{1000 * work.cpu / fleet.rows:.0f}",
        )  # fmt: skip
    return table


@click.command()
@click.option("--workers", default="1,2,4,8,16", show_default=True, help="How many, one measurement each.")
@click.option("--rate", default=10_000.0, show_default=True, help="Views a second of each device; 0: takes no time.")
@click.option("--job-size", type=click.IntRange(1), default=64, show_default=True, help="Images of a job.")
@click.option("--images", type=click.IntRange(1), default=12_800, show_default=True, help="Images for each worker.")
@click.option(
    "--against", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="Another checkout, measured in turn.",
)  # fmt: skip
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(workers: str, rate: float, job_size: int, images: int, against: Path | None, file: Path | None) -> None:
    """Measure what more workers give, and what a job costs all processes together."""
    numbers = [int(number) for number in workers.split(",")]
    codes = [ROOT, *([against.resolve()] if against else [])]
    points: list[Point] = []
    # A short name, because a socket's path is.
    with tempfile.TemporaryDirectory(prefix="pytest-") as made:
        fleet = Fleet(Path(made), images=max(numbers) * images, rate=rate, job_size=job_size)
        try:
            for number in numbers:
                for code in codes:
                    points.append(measure(fleet, code, number, images))
                    click.echo(f"{code.name}: {number} workers, {points[-1].work.images_per_s:.0f} images/s", err=True)
            added = {code.name: time_to_first_job(fleet, code) for code in codes if rate}
        finally:
            fleet.end()
    Console(width=170).print(table_of(points, fleet))
    for name, seconds in added.items():
        click.echo(f"{name}: a worker that is added to a running queue computes {seconds:.1f} s after its start")
    if file:
        shown = [{"code": one.code, "workers": one.workers, "ready_s": one.ready, **asdict(one.work)} for one in points]
        given = {"rate": rate, "job_size": job_size, "images": images, "levels": LEVELS}
        file.write_text(json.dumps(given | {"points": shown, "first_job_s": added}, indent=2) + "\n")


if __name__ == "__main__":
    main()
