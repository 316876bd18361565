"""How fast a shallow queue is, and how two runs share the workers.

    python -m benchmarks.fair [--workers 2] [--jobs 2000] [--sizes 300,2400]
    python -m benchmarks.fair --late [--workers 1]

Two tables: jobs a second at each window, of jobs that take no time; and of two runs that are submitted together, with
jobs of a quarter of a second, the images of each that were done when the smaller one ended. Both should be one to one.

With --late: when a run of 100 images is done that is submitted while workers are busy with a run of a million.
"""

import tempfile
import time
from pathlib import Path

import click
from sqlalchemy import func, select, text

from benchmarks.fleet import LEVELS, Fleet
from db.tables import Job

HERE = Path(__file__).parent.parent
WINDOWS = (16, 256)
#: Images of a job, and seconds that its stand-in device takes.
JOB_SIZE, JOB_TAKES = 4, 0.25
#: With --late: images of the two runs and of a job, views a second of the device, and seconds of the first run alone.
MANY, LATE, LATE_JOB, LATE_RATE, ALONE = 1_000_000, 100, 50, 10_000, 20


@click.command()
@click.option("--workers", default=2, show_default=True, help="Worker processes.")
@click.option("--jobs", default=2000, show_default=True, help="Jobs of one image at each window.")
@click.option("--sizes", default="300,2400", show_default=True, help="Jobs of the two runs.")
@click.option("--late", is_flag=True, help="Time a small run after a large one instead.")
def main(workers: int, jobs: int, sizes: str, late: bool) -> None:
    """Measure windows and shares."""
    if late:
        before, seconds = small_after_large(workers)
        print(f"{LATE} images after {MANY}, of which {before} were done: done in {seconds:.1f} s")
        return
    smaller, larger = sorted(map(int, sizes.split(",")))
    print("window  jobs/s")
    for window in WINDOWS:
        print(f"{window:6}  {jobs_a_second(window, workers, jobs):6.1f}", flush=True)
    print("\nrun     jobs  done when the smaller ended")
    done = shares(workers, smaller, larger)
    for name, size, part in zip(("smaller", "larger"), (smaller, larger), done, strict=True):
        print(f"{name:7} {size:4}  {part}")
    print(f"share of the smaller: {done[0] / sum(done):.3f}")


def jobs_a_second(window: int, workers: int, jobs: int) -> float:
    """Jobs a second of workers whose device takes no time."""
    with tempfile.TemporaryDirectory(prefix="pytest-fair-", ignore_cleanup_errors=True) as folder:
        fleet = Fleet(Path(folder), images=jobs, rate=0, job_size=1)
        fleet.environment["SMOOTHVOTE_WINDOW"] = str(window)
        try:
            fleet.start(HERE, workers)
            fleet.check(fleet.record_run(4 * workers), 4 * workers)  # the model is loaded, and everything is warm
            run_id = fleet.record_run(jobs)
            fleet.check(run_id, jobs)
            with fleet.record.connect() as connection:
                first, last = connection.execute(
                    select(func.min(Job.sent_at), func.max(Job.done_at)).where(Job.run_id == run_id)
                ).one()
        finally:
            fleet.end()
    return float(jobs / (last - first).total_seconds())


def shares(workers: int, smaller: int, larger: int) -> tuple[int, int]:
    """Jobs of each of two runs that were done when the smaller one ended."""
    with tempfile.TemporaryDirectory(prefix="pytest-fair-", ignore_cleanup_errors=True) as folder:
        views = JOB_SIZE * len(LEVELS) * 3
        fleet = Fleet(Path(folder), images=larger * JOB_SIZE, rate=views / JOB_TAKES, job_size=JOB_SIZE)
        try:
            fleet.start(HERE, workers)
            large, small = fleet.record_run(larger), fleet.record_run(smaller)
            counts = text("SELECT count(done_at) FROM jobs WHERE run_id = :run")
            while True:
                with fleet.record.connect() as connection:
                    done = [connection.scalar(counts, {"run": run}) or 0 for run in (small, large)]
                if done[0] == smaller or done[1] == larger:
                    return done[0], done[1]
                time.sleep(0.1)
        finally:
            fleet.end()


def small_after_large(workers: int) -> tuple[int, float]:
    """Images of the large run that were done when the small one was submitted, and seconds until that was done."""
    with tempfile.TemporaryDirectory(prefix="pytest-fair-", ignore_cleanup_errors=True) as folder:
        fleet = Fleet(Path(folder), images=MANY, rate=LATE_RATE, job_size=LATE_JOB)
        try:
            fleet.start(HERE, workers)
            large = fleet.record_run(MANY // LATE_JOB)
            time.sleep(ALONE)
            with fleet.record.connect() as connection:
                done = connection.scalar(select(func.count(Job.done_at)).where(Job.run_id == large)) or 0
            began = time.monotonic()
            fleet.check(fleet.record_run(LATE // LATE_JOB), LATE // LATE_JOB)
            return done * LATE_JOB, time.monotonic() - began
        finally:
            fleet.end()


if __name__ == "__main__":
    main()
