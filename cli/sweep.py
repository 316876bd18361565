"""The command that measures with many recipes: models by kernels."""

from typing import TYPE_CHECKING, Any

import click

from cli.dataset import dataset_flags, find_dataset
from cli.flags import Numbers, axis_of, check_smoother, recipe_flags, recipe_from
from cli.output import Output, output_flags
from db.errors import FAILED, INCOMPLETE

if TYPE_CHECKING:
    from db.recipe import Recipe

#: Rates that can be shown of each run.
METRICS = ("acc_maj_overall", "acc_maj", "acc_ns", "acc_ss", "acc_ds", "reject_rate", "coverage", "unanimous_rate", "agree_ss", "agree_ds")  # fmt: skip
#: What a sweep varies: these options take several values, in the place of a recipe's options of the same names.
VARIED = {
    "model": click.Option(["--model"], multiple=True, help="As for `run`; give it several times for several models."),
    "kernel_size": click.Option(["--kernel-size"], type=Numbers(), default=(), metavar="N,N,…", help="Sides of the smoothing kernels, odd.  [default: 5]"),
    "kernel_sigma": click.Option(["--kernel-sigma"], type=Numbers(), default=(), metavar="S,S,…", help="Their standard deviations in pixels.  [default: 1.0]"),
}  # fmt: skip


@click.command()
@click.argument("images")
@recipe_flags
@dataset_flags
@click.option("--workers", type=click.IntRange(0, 256), default=1, show_default=True, help="As for `run`.")
@click.option(
    "--submit", "only_submit", is_flag=True, help="Submit to the queue that is set, and show what is found so far."
)
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    help="What to show of each run.  [default: acc_maj_overall; without labels, reject_rate]",
)
@output_flags("sweep")
def sweep(images: str, labels: str | None, limit: int | None, job_size: int | None, name: str | None, dry_run: bool,
          workers: int, only_submit: bool, metric: str | None, output: Output,
          model: tuple[str, ...], kernel_size: tuple[float, ...], kernel_sigma: tuple[float, ...], **flags: Any) -> None:  # fmt: skip
    """Measure IMAGES with many recipes: models by kernels.

    Each --model with each --kernel-size and each --kernel-sigma is a run; then one table shows them all, with the best
    of each level marked. The same command again resumes, does nothing twice, and shows the table. It ends with 1 if a
    run was refused, and with 3 while one is incomplete.
    """
    import json

    from db.settings import load_settings
    from producer import sweep as runs

    settings = load_settings()
    models = [recipe_from(model=each, **flags) for each in model or (None,)]
    recipes = runs.recipes_of(models, kernel_size, kernel_sigma)
    swept = {"kernel_size": kernel_size, "kernel_sigma": kernel_sigma}
    check_smoother(recipes[0], [field for field, values in swept.items() if values])
    dataset = find_dataset(images, recipes[0], settings, labels, limit)
    by_id = {recipe.run_id(dataset.fingerprint): recipe for recipe in recipes}
    if dry_run:
        click.echo(json.dumps(runs.plan(by_id, dataset, name), indent=2))
        return
    runs.announce(by_id, dataset)
    axis = axis_of(recipes[0])
    refused: dict[str, str] = {}
    if only_submit:
        runs.sweep_submit(settings, by_id, dataset, axis=axis, name=name, job_size=job_size)
    else:
        refused = runs.sweep_here(settings, by_id, dataset, workers=workers, axis=axis, name=name, job_size=job_size)
    metric = metric or ("acc_maj_overall" if dataset.labelled else "reject_rate")
    show_sweep(by_id, refused, metric, output)


sweep.params = [VARIED.get(param.name or "", param) for param in sweep.params]


def show_sweep(recipes: dict[str, "Recipe"], refused: dict[str, str], metric: str, output: Output) -> None:
    """Prints a sweep's table. Ends with FAILED if a run was refused, with INCOMPLETE if one is incomplete."""
    from db.session import connect, reading
    from db.settings import load_settings
    from report.documents.sweep import document
    from report.sweep import read_sweep

    with reading(connect(load_settings())) as session:
        found = read_sweep(session, recipes, metric=metric, interval=output.interval, refused=refused)
    output.show(document(found))
    output.draw(found)
    if refused:
        click.echo(f"smoothvote: {len(refused)} of {len(recipes)} runs were refused", err=True)
        raise SystemExit(FAILED)
    if not found.complete:
        raise SystemExit(INCOMPLETE)
