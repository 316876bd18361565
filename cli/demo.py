"""The commands that measure something given: the demo's photographs, and the article's table."""

from pathlib import Path

import click

from cli.dataset import find_dataset
from cli.flags import recipe_from
from cli.look import show_report
from cli.output import Output

workers_flag = click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Worker processes to start here."
)


@click.command()
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    default="demo.png",
    show_default=True,
    metavar="FILE",
    help="Where to draw the report.",
)
@workers_flag
def demo(plot: Path, workers: int) -> None:
    """Measure the bundled model on 20 photographs.

    It measures four noise levels, prints the report and draws it. It needs no server and no network.
    """
    from db.models import BUNDLED_MODEL
    from db.recipe import make_recipe
    from db.settings import load_settings
    from producer.demo import demo_dataset
    from producer.run import run_here
    from report.plots import check_plot_file

    check_plot_file(plot)
    recipe = make_recipe(model=BUNDLED_MODEL)
    settings = load_settings()
    run_id = run_here(settings, recipe, demo_dataset(settings), name="demo", workers=workers)
    show_report(run_id, Output(plots={"plot": plot}))


@click.command()
@click.argument("images")
@click.option("--model", help="Another model than the article's.")
@click.option("--weights", help="As for `run`.")
@click.option("--labels", metavar="FILE", help="As for `run`.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="As for `run`.")
@workers_flag
def reproduce(
    images: str, model: str | None, weights: str | None, labels: str | None, limit: int | None, workers: int
) -> None:
    """Measure IMAGES as the article did, and print its table.

    Each cell has our value, the published one and the difference.
    """
    from db.runs import find_run
    from db.session import connect, reading
    from db.settings import load_settings
    from producer.run import run_here
    from report.documents.reproduction import document
    from report.report import report

    settings = load_settings()
    recipe = recipe_from(preset="article", classes=None, model=model, weights=weights)
    dataset = find_dataset(images, recipe, settings, labels, limit)
    run_id = run_here(settings, recipe, dataset, workers=workers)
    with reading(connect(settings)) as session:
        Output().show(document(report(session, find_run(session, run_id))))
