"""The commands that work through the queue: submit a run, watch it, and dispatch the jobs of all runs."""

import sys
from typing import Any

import click

from cli.dataset import dataset_flags, describe, find_dataset
from cli.flags import axis_of, job_size_of, recipe_flags, recipe_from
from db.errors import SmoothvoteError


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
def submit(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
           **flags: Any) -> None:  # fmt: skip
    """Submit IMAGES to workers elsewhere, and print the run's id.

    The same command again resumes: it sends only what is missing.
    """
    from db.session import connect
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import dispatch
    from producer.submit import submit as record

    settings, recipe = load_settings(), recipe_from(**flags)
    job_size = job_size_of(recipe, job_size)
    if not dry_run:
        # Queue and database are tried first, so that nothing is recorded that cannot be sent.
        broker = Broker(settings)
        broker.queued()
        engine = connect(settings)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    if dry_run:
        describe(recipe, dataset, name, job_size)
        return
    submission = record(engine, recipe, dataset, name=name, job_size=job_size, axis=axis_of(recipe))
    sent = dispatch(engine, broker, settings, run_ids=[submission.run_id])
    known = "new run" if submission.new else "known run"
    click.echo(f"{known}, {sent} jobs sent; follow it with: smoothvote watch {submission.run_id}", err=True)
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
    with left(f"left; the run goes on. Follow it again with: smoothvote watch {found.id}"):
        state = watch_run(engine, found, each_look=lambda _: dispatcher.send([found.id]))
    if not state.complete:
        raise SmoothvoteError(f"run {found.id} was cancelled; submitting it again resumes it")
    click.echo(f"complete: {state.done} images, {state.failed} failed, {state.skipped} skipped", err=True)


@click.command()
def dispatch() -> None:
    """Send the due jobs of all runs to the queue, until stopped. Two of these at once do no harm."""
    import logging

    from db.session import connect
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import dispatch_for_ever

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    settings = load_settings()
    dispatch_for_ever(connect(settings), Broker(settings), settings)
