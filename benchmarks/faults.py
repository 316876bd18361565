"""The fault storm: workers, Redis and database are killed, cut off, filled and fooled; and then every row is compared.

    python -m benchmarks.faults --seeds 20 --seconds 60         on PostgreSQL and on SQLite in turn
    python -m benchmarks.faults --control no-sweeper            what it looks like without the sweeper: rows are missing

Real Redis, real databases, real workers; only the model is a stub, whose answers are known (benchmarks/stub.py).
Exit code 1 if a row is missing, there twice or wrong.
"""

import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import select, text

from benchmarks.kinds import ALL, Fault, kinds_of
from benchmarks.scene import Scene, Verdict
from db.message import QUEUE, message_of
from db.session import reading, writing
from db.tables import Job

#: So many open jobs keep all workers busy until the next fault.
ENOUGH = 20
#: Seconds between two faults, and for the runs to be completed after the last one.
EVERY, PATIENCE = 2.0, 240.0
CONTROLS = ("no-sweeper", "plain-insert", "counter")


# -- the storm ---------------------------------------------------------------------------------------------------


@dataclass
class Storm:
    """What one seed did, and what became of it."""

    seed: int
    database: str
    verdict: Verdict
    faults: dict[str, int]
    #: Jobs begun more often than once, as a share of all jobs.
    rerun: float
    #: Seconds until the jobs that a fault hit were done; of an outage, from its end until the next job was done.
    recovery: dict[str, list[float]]
    #: Seconds from the last fault until everything was done.
    settled: float
    counted: int | None = None
    failures: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every row is there once and right."""
        counted = self.counted is None or self.counted == self.verdict.predictions
        return counted and not (self.verdict.missing or self.verdict.duplicate or self.verdict.wrong)


def storm(
    seed: int, database: str, seconds: float, *, kinds: dict[str, Fault], each_once: bool, control: str | None,
    folder: Path,
) -> Storm:  # fmt: skip
    """One storm, of so many seconds; then time for the runs to be completed; then the comparison."""
    chance = random.Random(f"{seed} {database}")
    scene = Scene(folder, database, control=control)
    happened: list[tuple[str, float, list[int] | None]] = []
    try:
        if control:
            _prepare(scene)
        _submit(scene)
        began, planned = time.monotonic(), 0
        while not any(event["what"] == "end" for event in scene.trace()):
            if time.monotonic() - began > PATIENCE:
                raise click.ClickException(f"no worker finished a job in {PATIENCE} s: see its log in {folder}")
            scene.wait(0.5)
        began = time.monotonic()
        every = seconds / len(kinds) if each_once else EVERY
        order: list[str] = []
        while time.monotonic() - began < seconds or (each_once and planned < len(kinds)):
            scene.wait(max(0.0, began + planned * every * chance.uniform(0.9, 1) - time.monotonic()))
            if not order:
                order = chance.sample(sorted(kinds), len(kinds))
            name = order.pop()
            hit = kinds[name](scene, chance)
            happened.append((name, time.time(), hit))
            planned += 1
            if scene.open_jobs() < ENOUGH:
                _submit(scene)  # the storm goes on; so does the work
        ended = time.monotonic()
        while scene.open_jobs() and time.monotonic() - ended < (8 if control == "no-sweeper" else PATIENCE):
            scene.wait(0.5)
        settled = time.monotonic() - ended
        return _judge(scene, seed, database, happened, settled)
    finally:
        scene.end()


def _judge(
    scene: Scene, seed: int, database: str, happened: list[tuple[str, float, list[int] | None]], settled: float
) -> Storm:
    trace, verdict = scene.trace(), scene.verdict()
    begun = sum(event["what"] == "begin" for event in trace)
    done, recovery = scene.done(), dict[str, list[float]]()
    ends = [event["at"] for event in trace if event["what"] == "end"]
    for name, at, hit in happened:
        kills = [event for event in trace if event["what"] == f"killed at {name.split()[-1]}" and event["at"] >= at]
        if "killed at" in name and kills:  # until the job that was killed was done, by whomever
            at, again = kills[0]["at"], [done.get(kills[0]["job"], 0)]
        elif hit is None:  # no process, but what they all depend on: until one of them ended a job again
            again = [end for end in ends if end > at]
        else:  # until the jobs that they computed were done
            begun_by = {event["pid"]: event["job"] for event in trace if event["what"] == "begin" and event["at"] <= at}
            again = sorted((done.get(begun_by.get(pid, 0), 0) for pid in hit), reverse=True)
        if again and again[0] > at:
            recovery.setdefault(name, []).append(again[0] - at)
    counted = None
    if scene.control == "counter":
        with reading(scene.engine) as session:
            counted = session.execute(text("SELECT n FROM counter")).scalar_one()
    return Storm(
        seed, database, verdict, dict(Counter(name for name, *_ in happened)), begun / verdict.jobs - 1, recovery,
        settled, counted,
    )  # fmt: skip


def _prepare(scene: Scene) -> None:
    columns = "image_id INTEGER, level FLOAT, label_ns INTEGER, label_ss INTEGER, label_ds INTEGER, label_maj INTEGER"
    with writing(scene.engine) as session:
        session.execute(text(f"CREATE TABLE predictions_plain ({columns})"))
        session.execute(text("CREATE TABLE counter (n INTEGER)"))
        session.execute(text("INSERT INTO counter VALUES (0)"))


def _submit(scene: Scene) -> None:
    run_id = scene.submit()
    if scene.control == "no-sweeper":  # each job is sent when it is submitted, and that is that
        with reading(scene.engine) as session:
            ids = session.scalars(select(Job.id).where(Job.run_id == run_id)).all()
        scene.redis.client.lpush(QUEUE, *[json.dumps(message_of(job_id)) for job_id in ids])


# -- what is printed ---------------------------------------------------------------------------------------------


def quantiles(seconds: list[float]) -> str:
    """p50 / p95 / max."""
    if not seconds:
        return "–"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else seconds * 19
    return f"{statistics.median(seconds):.1f} / {cuts[18]:.1f} / {max(seconds):.1f}"


def show(storms: list[Storm]) -> None:
    """A line a seed; then a line a fault."""
    console = Console(width=150)
    table = Table("seed", "database", "faults", "rows", "missing", "duplicate", "wrong", "re-run", "recovery p50/p95/max, s", "settled, s")  # fmt: skip
    for one in storms:
        judged = one.verdict
        table.add_row(
            str(one.seed), one.database, str(sum(one.faults.values())), str(judged.expected), str(judged.missing),
            str(judged.duplicate), str(judged.wrong), f"{one.rerun:.1%}",
            quantiles([value for values in one.recovery.values() for value in values]), f"{one.settled:.1f}",
        )  # fmt: skip
    console.print(table)
    faults = Table("fault", "times", "recovery p50/p95/max, s")
    for name in ALL:
        if times := sum(one.faults.get(name, 0) for one in storms):
            faults.add_row(
                name, str(times), quantiles([value for one in storms for value in one.recovery.get(name, [])])
            )
    console.print(faults)


@click.command()
@click.option("--seeds", default=1, show_default=True, help="How many storms.")
@click.option("--first", default=0, show_default=True, help="The first one's seed.")
@click.option("--seconds", default=60.0, show_default=True, help="How long each blows.")
@click.option(
    "--database", type=click.Choice(["both", "in-turn", "postgresql", "sqlite"]), default="in-turn", show_default=True
)
@click.option("--each-once", is_flag=True, help="Every kind of fault exactly once, in a random order.")
@click.option("--only", multiple=True, type=click.Choice([*ALL]), metavar="FAULT", help="This kind of fault only.")
@click.option("--control", type=click.Choice(CONTROLS), help="A negative control: without one of the promises.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Where to write the same as JSON.")
@click.option("--keep", is_flag=True, help="Keep each storm's folder, with its logs, and say where.")
def main(
    seeds: int,
    first: int,
    seconds: float,
    database: str,
    each_once: bool,
    only: tuple[str, ...],
    control: str | None,
    json_file: Path | None,
    keep: bool,
) -> None:
    """Blows, and compares."""
    storms: list[Storm] = []
    for seed in range(first, first + seeds):
        both = ["postgresql", "sqlite"]
        for kind in {"both": both, "in-turn": [both[seed % 2]]}.get(database, [database]):
            folder = Path(tempfile.mkdtemp(prefix="pytest-"))
            try:
                kinds = kinds_of(kind, control, only)
                storms.append(
                    storm(seed, kind, seconds, kinds=kinds, each_once=each_once, control=control, folder=folder)
                )
            finally:
                if keep:
                    print(f"seed {seed} on {kind}: {folder}", file=sys.stderr)
                else:
                    shutil.rmtree(folder, ignore_errors=True)
            judged = storms[-1].verdict
            print(
                f"seed {seed} on {kind}: {sum(storms[-1].faults.values())} faults, {judged.expected} rows expected, "
                f"{judged.missing} missing, {judged.duplicate} duplicate, {judged.wrong} wrong",
                file=sys.stderr, flush=True,
            )  # fmt: skip
            if storms[-1].counted is not None:
                print(
                    f"a counter says {storms[-1].counted} predictions; there are {judged.predictions}", file=sys.stderr
                )
    show(storms)
    if json_file:
        json_file.write_text(json.dumps([asdict(one) | {"exact": one.exact} for one in storms], indent=1))
    sys.exit(not all(one.exact for one in storms))


if __name__ == "__main__":
    main()
