"""The commands that work through the queue: submit a run, watch it, and dispatch the jobs of all runs."""

from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from cli.dataset import dataset_flags, describe, find_dataset
from cli.flags import axis_of, job_size_of, recipe_flags, recipe_from
from db.errors import SmoothvoteError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from db.recipe import Recipe
    from db.settings import Settings
    from producer.broker import Broker
    from producer.dataset import Dataset
    from producer.job_size import JobSize


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
def submit(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
           priority: int | None, **flags: Any) -> None:  # fmt: skip
    """Submit IMAGES to workers elsewhere, and print the run's id.

    The same command again resumes: it sends only what is missing.
    """
    from db.settings import load_settings

    settings, recipe = load_settings(), recipe_from(**flags)
    size = job_size_of(recipe, job_size)
    queue = None if dry_run else reach(settings)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    if queue is None:
        describe(settings, recipe, dataset, name, size)
    else:
        record_and_send(queue, settings, recipe, dataset, name=name, job_size=size, priority=priority)


class Queue(NamedTuple):
    """The queue and the database that a run is submitted to."""

    broker: "Broker"
    engine: "Engine"


def reach(settings: "Settings") -> Queue:
    """Tries queue and database before a dataset is read, so that nothing is recorded that cannot be sent.

    Raises:
        BrokerDown: if the queue cannot be reached.
        WrongUse: if the database does not exist, or is not at this code's revision.
    """
    from db.session import connect
    from producer.broker import Broker

    broker = Broker(settings)
    broker.queued()
    return Queue(broker, connect(settings))


def record_and_send(
    queue: Queue,
    settings: "Settings",
    recipe: "Recipe",
    dataset: "Dataset",
    *,
    name: str | None,
    job_size: "JobSize",
    n: int | None = None,
    priority: int | None = None,
) -> None:
    """Records a run, sends its jobs, and prints its id, alone, on stdout."""
    from producer.dispatch import dispatch
    from producer.submit import submit as record

    submission = record(
        queue.engine, recipe, dataset, name=name, job_size=job_size, n=n, axis=axis_of(recipe), priority=priority
    )
    sent = dispatch(queue.engine, queue.broker, settings, run_ids=[submission.run_id])
    known = "new run" if submission.new else "known run"
    click.echo(
        f"{known}, {sent} jobs sent; follow it with: smoothvote watch {submission.run_id}"
        " (which also sends what remains, as `smoothvote dispatch` does)",
        err=True,
    )
    click.echo(submission.run_id)


@click.command()
@click.argument("run", default="latest")
def watch(run: str) -> None:
    """Follow RUN until it is complete. Ctrl-C leaves it running; the same command follows it again."""
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import Dispatcher
    from producer.watch import left
    from producer.watch import watch as watch_run

    settings = load_settings()
    engine = connect(settings)
    with reading(engine) as session:
        found = find_run(session, run)
    dispatcher = Dispatcher(engine, Broker(settings), settings)
    with closing(dispatcher), left(f"left; the run goes on. Follow it again with: smoothvote watch {found.id}"):
        # Jobs of all runs: two watchers that sent those of their own runs would not share the workers.
        state = watch_run(engine, found, each_look=lambda _: dispatcher.send())
    if not state.complete:
        raise SmoothvoteError(f"run {found.id} was cancelled; submitting it again resumes it")
    click.echo(f"complete: {state.done} images, {state.failed} failed, {state.skipped} skipped", err=True)


@click.command()
def dispatch() -> None:
    """Send the due jobs of all runs to the queue, until stopped. Two of these at once do no harm."""
    from db.logs import log_to_stderr
    from db.monitor import monitor
    from db.session import connect
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import dispatch_for_ever
    from producer.metrics import DispatcherMetrics, why_not_ready

    settings = load_settings()
    log_to_stderr(settings.log_format, text="%(asctime)s %(message)s")
    engine, broker = connect(settings), Broker(settings)
    with monitor(settings, DispatcherMetrics(engine), lambda: why_not_ready(engine, broker)):
        dispatch_for_ever(engine, broker, settings)
