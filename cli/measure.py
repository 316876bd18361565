"""The commands that measure: from images to a run, and to its report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.flags import Numbers, recipe_flags, recipe_from
from cli.look import FORMATS, check_plots, interval_flag, report_flags, show_report
from db.errors import FAILED, INCOMPLETE, SmoothvoteError, WrongUse

if TYPE_CHECKING:
    from db.recipe import Recipe
    from db.settings import Settings
    from producer.dataset import Dataset

DATASET_FLAGS = (
    click.option("--labels", metavar="FILE", help="A .csv or .jsonl of file_name,label; or `none`.  [default: from the layout]"),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N images, spread evenly over the dataset."),
    click.option("--job-size", type=click.IntRange(1, 1000), metavar="N", help="Images a job.  [default: 64]"),
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


#: Rates that a grid's cells may be told apart by.
METRICS = ("acc_maj_overall", "acc_maj", "acc_ns", "acc_ss", "acc_ds", "reject_rate", "coverage", "unanimous_rate", "agree_ss", "agree_ds")  # fmt: skip


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
@click.option("--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="As for `run`.")
@click.option(
    "--submit", "only_submit", is_flag=True, help="Only submit to the queue that is set, and show what is there."
)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    help="What to show of each run.  [default: acc_maj_overall; without labels, reject_rate]",
)
@click.option("--format", "form", type=FORMATS, default="table", show_default=True, help="What to print.")
@interval_flag
@click.option(
    "--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw heat maps: .png, .svg or .pdf."
)
def sweep(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
          workers: int, only_submit: bool, metric: str | None, form: str, interval: Any, plot: Path | None,
          model: tuple[str, ...], kernel_size: tuple[float, ...], kernel_sigma: tuple[float, ...], **flags: Any) -> None:  # fmt: skip
    """Measure IMAGES with a grid of recipes: models by kernels.

    Each --model with each --kernel-size and each --kernel-sigma is a run; then one table, with the best of each noise
    level marked. The same command again resumes, does nothing twice, and shows the table. Ends with 1 if a run was
    refused, and with 3 while one is incomplete.
    """
    import json

    from db.settings import load_settings
    from producer import sweep as grid

    check_plots(plot=plot)
    settings = load_settings()
    models = [recipe_from(model=each, **flags) for each in model or (None,)]
    recipes = grid.recipes_of(models, kernel_size, kernel_sigma)
    if workers == 0 and settings.broker_url is None and not only_submit:
        raise WrongUse("--workers 0 leaves the work to others, who need a queue: set SMOOTHVOTE_BROKER_URL")
    dataset = find_dataset(images, recipes[0], settings, labels, limit)
    by_id = {recipe.run_id(dataset.fingerprint): recipe for recipe in recipes}
    if dry_run:
        click.echo(json.dumps(grid.plan(by_id, dataset, name), indent=2))
        return
    grid.announce(by_id, dataset)
    refused: dict[str, str] = {}
    if only_submit:
        grid.sweep_submit(settings, by_id, dataset, name=name, job_size=job_size)
    else:
        refused = grid.sweep_here(settings, by_id, dataset, workers=workers, name=name, job_size=job_size)
    metric = metric or ("acc_maj_overall" if dataset.labelled else "reject_rate")
    show_sweep(by_id, refused, metric, form, interval, plot)


def several(command: click.Command, **values: click.Option) -> None:
    """Lets flags of a command take several values: puts these options in the place of those of the same name."""
    command.params = [values.get(param.name or "", param) for param in command.params]


several(
    sweep,
    model=click.Option(["--model"], multiple=True, help="As for `run`; give it several times for several models."),
    kernel_size=click.Option(["--kernel-size"], type=Numbers(), default=(), metavar="N,N,…", help="Sides of the smoothing kernels, odd.  [default: 5]"),
    kernel_sigma=click.Option(["--kernel-sigma"], type=Numbers(), default=(), metavar="S,S,…", help="Their standard deviations in pixels.  [default: 1.0]"),
)  # fmt: skip


def show_sweep(
    recipes: dict[str, "Recipe"], refused: dict[str, str], metric: str, form: str, interval: Any, plot: Path | None
) -> None:
    """Prints a grid; ends with FAILED if a run was refused, with INCOMPLETE if one is incomplete."""
    from db.session import connect, reading
    from db.settings import load_settings
    from report.sweep import read_sweep
    from report.sweep_text import format_sweep

    with reading(connect(load_settings())) as session:
        found = read_sweep(session, recipes, metric=metric, interval=interval, refused=refused)
    click.echo(format_sweep(found, form))
    if plot:
        from report.plots.heat_map import plot_sweep

        plot_sweep(found, plot)
        click.echo(f"wrote {plot}", err=True)
    if refused:
        click.echo(f"smoothvote: {len(refused)} of {len(recipes)} runs were refused", err=True)
        raise SystemExit(FAILED)
    if not found.complete:
        raise SystemExit(INCOMPLETE)


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
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from producer.run import run_here
    from report.report import report
    from report.report_text import format_comparison

    settings = load_settings()
    recipe = recipe_from(preset="article", classes=None, model=model, weights=weights)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    run_id = run_here(settings, recipe, dataset, workers=workers)
    with reading(connect(settings)) as session:
        click.echo(format_comparison(report(session, find_run(session, run_id))))


VERBS = (demo, run, sweep, submit, watch, dispatch, reproduce)


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
