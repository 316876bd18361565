"""The commands that measure: from images to a run, and to its report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from db.cli import check_plots, report_flags, show_report
from db.errors import SmoothvoteError, WrongUse
from db.flags import recipe_flags, recipe_from

if TYPE_CHECKING:
    from db.recipe import Recipe
    from db.settings import Settings
    from producer.dataset import Dataset

DATASET_FLAGS = (
    click.option("--labels", metavar="FILE", help="A .csv or .jsonl of file_name,label; or `none`.  [default: from the layout]"),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N images, spread evenly over the dataset."),
    click.option("--job-size", type=click.IntRange(1, 1000), metavar="N", help="Images a job.  [default: 32]"),
    click.option("--name", help="What to call the run.  [default: the dataset's and the model's names]"),
    click.option("--dry-run", is_flag=True, help="Say what would be submitted, and do nothing."),
)  # fmt: skip


def dataset_flags(command: Any) -> Any:
    """Gives a command the flags of a dataset and its submission."""
    for flag in reversed(DATASET_FLAGS):
        command = flag(command)
    return command


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
@click.option(
    "--workers",
    type=click.IntRange(0, 256),
    default=1,
    show_default=True,
    help="Worker processes here; 0 leaves it to others.",
)
@report_flags
def run(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
        workers: int, form: str, interval: Any, plot: Path | None, risk_coverage: Path | None, **flags: Any) -> None:  # fmt: skip
    """Measure IMAGES here and now: submit, work, watch and report in one. No server is needed.

    IMAGES is a folder of class folders, a flat folder, a .csv or .jsonl manifest (file_name,label), or a URL of these.
    The same command again resumes. Ctrl-C loses nothing.
    """
    from db.settings import load_settings
    from producer.run import run_here

    check_plots(plot=plot, risk_coverage=risk_coverage)
    settings, recipe = load_settings(), recipe_from(**flags)
    if workers == 0 and settings.broker_url is None:
        raise WrongUse("--workers 0 leaves the work to others, who need a queue: set SMOOTHVOTE_BROKER_URL")
    dataset = find_dataset(images, recipe, settings, labels, limit)
    if dry_run:
        describe(recipe, dataset, name, job_size)
        return
    run_id = run_here(settings, recipe, dataset, name=name, job_size=job_size, workers=workers)
    show_report(run_id, form, interval=interval, plot=plot, risk_coverage=risk_coverage)


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
def submit(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
           **flags: Any) -> None:  # fmt: skip
    """Submit IMAGES to workers elsewhere; prints the run's id.

    The same command again resumes: only what is missing is sent.
    """
    from db.session import connect
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import dispatch
    from producer.submit import submit as record

    settings, recipe = load_settings(), recipe_from(**flags)
    if not dry_run:
        # Both are asked before anything is recorded: what cannot be sent is better not half done.
        broker = Broker(settings)
        broker.queued()
        engine = connect(settings)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    if dry_run:
        describe(recipe, dataset, name, job_size)
        return
    submission = record(engine, recipe, dataset, name=name, job_size=job_size)
    sent = dispatch(engine, broker, settings, run_id=submission.run_id)
    click.echo(
        f"{'new run' if submission.new else 'known run'}, {sent} jobs sent; follow it with: smoothvote watch {submission.run_id}",
        err=True,
    )
    click.echo(submission.run_id)


@click.command()
@click.argument("run", default="latest")
def watch(run: str) -> None:
    """Follow RUN until it is complete. It can be left, and taken up again."""
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.run import Dispatcher, left
    from producer.watch import watch as watch_run

    settings = load_settings()
    engine = connect(settings)
    with reading(engine) as session:
        found = find_run(session, run)
    dispatcher = Dispatcher(engine, Broker(settings), settings, found)
    with left(f"left; the run goes on. Take it up again with: smoothvote watch {found.id}"):
        state = watch_run(engine, found, each_look=dispatcher)
    if not state.complete:
        raise SmoothvoteError(f"run {found.id} was cancelled; submitting it again resumes it")
    click.echo(f"complete: {state.done} images, {state.failed} failed, {state.skipped} skipped", err=True)


@click.command()
def dispatch() -> None:
    """Put due jobs of all runs on the queue, for ever: the sweeper. Two of them do no harm."""
    import logging

    from db.session import connect
    from db.settings import load_settings
    from producer.broker import Broker
    from producer.dispatch import dispatch_for_ever

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    settings = load_settings()
    dispatch_for_ever(connect(settings), Broker(settings), settings)


@click.command()
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    default="demo.png",
    show_default=True,
    metavar="FILE",
    help="Where to draw the report.",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes here.")
def demo(plot: Path, workers: int) -> None:
    """Measure the bundled model on 20 photographs, at four noise levels. Needs no server and no network."""
    from db.recipe import BUNDLED_MODEL, make_recipe
    from db.settings import load_settings
    from producer.demo import demo_dataset
    from producer.run import run_here

    check_plots(plot=plot)
    recipe = make_recipe(model=BUNDLED_MODEL)
    settings = load_settings()
    run_id = run_here(settings, recipe, demo_dataset(settings), name="demo", workers=workers)
    show_report(run_id, "table", plot=plot)


@click.command()
@click.argument("images")
@click.option("--model", help="Another model than the article's.")
@click.option("--weights", help="As for `run`.")
@click.option("--labels", metavar="FILE", help="As for `run`.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="As for `run`.")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes here.")
def reproduce(
    images: str, model: str | None, weights: str | None, labels: str | None, limit: int | None, workers: int
) -> None:
    """The article's table from IMAGES: ours, the published, and the difference of each cell."""
    from db.formats import format_comparison
    from db.report import report
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from producer.run import run_here

    settings = load_settings()
    recipe = recipe_from(preset="article", classes=None, model=model, weights=weights)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    run_id = run_here(settings, recipe, dataset, workers=workers)
    with reading(connect(settings)) as session:
        click.echo(format_comparison(report(session, find_run(session, run_id))))


VERBS = (demo, run, submit, watch, dispatch, reproduce)


# -- what they share ---------------------------------------------------------------------------------------------


def find_dataset(
    images: str, recipe: "Recipe", settings: "Settings", labels: str | None, limit: int | None
) -> "Dataset":
    """The dataset at IMAGES; says on stderr what of it will not count."""
    from producer.dataset import read_dataset
    from producer.labels import Labels

    dataset = read_dataset(images, labels=Labels(recipe), settings=settings, labels_from=labels, limit=limit)
    if dataset.ignored:
        click.echo(f"passed over {dataset.ignored} files that are no images by their name", err=True)
    count = len(dataset.entries)
    if missing := [entry.path for entry in dataset.entries if entry.bytes is None]:
        click.echo(f"{len(missing)} of {count} images are not there: {missing[0]} is one", err=True)
    if not dataset.labelled:
        click.echo("no image has a label: there will be reject rates, and no accuracies", err=True)
    elif dataset.labelled < count:
        click.echo(f"{count - dataset.labelled} of {count} images have no label: accuracy is of the rest", err=True)
    return dataset


def describe(recipe: "Recipe", dataset: "Dataset", name: str | None, job_size: int | None) -> None:
    """What would be submitted, as JSON."""
    import json

    from producer.submit import JOB_SIZE, default_name

    size = job_size or JOB_SIZE
    plan = {
        "id": recipe.run_id(dataset.fingerprint),
        "name": name or default_name(recipe, dataset),
        "root": dataset.root,
        "images": len(dataset.entries),
        "available": dataset.found,
        "labelled": dataset.labelled,
        "jobs": -(-len(dataset.entries) // size),
        "views": len(dataset.entries) * len(recipe.levels) * 3,
        "recipe": recipe.model_dump(mode="json"),
    }
    click.echo(json.dumps(plan, indent=2))
