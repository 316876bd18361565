"""The command that measures with many recipes: models by perturbations by kernels."""

from typing import TYPE_CHECKING, Any

import click

from cli.dataset import dataset_flags, find_dataset
from cli.flags import Numbers, axis_of, check_smoother, job_size_of, recipe_flags, recipe_from
from cli.output import Output, output_flags
from db.axis import Axis
from db.errors import FAILED, INCOMPLETE, WrongUse
from db.imagenet_c import CORRUPTIONS, SEVERITIES
from report.rates import METRICS

if TYPE_CHECKING:
    from db.recipe import Recipe

#: Stands for the 15 corruptions of ImageNet-C, at all severities and once at none.
IMAGENET_C = "imagenet-c"
#: What a sweep varies: these options take several values, in the place of a recipe's options of the same names.
VARIED = {
    "model": click.Option(["--model"], multiple=True, help="As for `run`; give it several times for several models."),
    "perturbation": click.Option(["--perturbation"], multiple=True, metavar="NAME", help=f"As for `run`; give it several times for several that have a common unit. {IMAGENET_C}: all 15 corruptions of ImageNet-C, and their mCE."),
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
          priority: int | None, workers: int, only_submit: bool, metric: str | None, output: Output,
          model: tuple[str, ...], perturbation: tuple[str, ...], kernel_size: tuple[float, ...], kernel_sigma: tuple[float, ...], **flags: Any) -> None:  # fmt: skip
    """Measure IMAGES with many models, perturbations and kernels.

    Each --model with each --perturbation, --kernel-size and --kernel-sigma is a run; then one table shows them all,
    with the best of each level marked. The same command again resumes, does nothing twice, and shows the table. It ends
    with 1 if a run was refused, and with 3 while one is incomplete.
    """
    import json

    from db.settings import load_settings
    from producer import sweep as runs

    settings = load_settings()
    recipes = runs.recipes_of(bases_of(model, perturbation, flags), kernel_size, kernel_sigma)
    size = job_size_of(recipes[0], job_size)
    swept = {"kernel_size": kernel_size, "kernel_sigma": kernel_sigma}
    check_smoother(recipes[0], [field for field, values in swept.items() if values])
    axis = common_axis(recipes)
    dataset = find_dataset(images, recipes[0], settings, labels, limit)
    by_id = {recipe.run_id(dataset.fingerprint): recipe for recipe in recipes}
    if dry_run:
        click.echo(json.dumps(runs.plan(by_id, dataset, name), indent=2))
        return
    runs.announce(by_id, dataset)
    given: dict[str, Any] = {"axis": axis, "name": name, "job_size": size, "priority": priority}
    refused: dict[str, str] = {}
    if only_submit:
        runs.sweep_submit(settings, by_id, dataset, **given)
    else:
        refused = runs.sweep_here(settings, by_id, dataset, workers=workers, **given)
    metric = metric or ("acc_maj_overall" if dataset.labelled else "reject_rate")
    show_sweep(by_id, refused, metric, output, axis=axis)


sweep.params = [VARIED.get(param.name or "", param) for param in sweep.params]


def bases_of(models: tuple[str, ...], perturbations: tuple[str, ...], flags: dict[str, Any]) -> list["Recipe"]:
    """A recipe for each model and perturbation; imagenet-c stands for its corruptions.

    Args:
        models: names; empty: the default.
        perturbations: names; empty: the default.
        flags: all other flags of a recipe.

    Raises:
        WrongUse: as ``recipe_from``; or if a model or a perturbation is given twice.
    """
    from producer.sweep import check_once

    named = ((CORRUPTIONS if given == IMAGENET_C else (given,)) for given in perturbations)
    names = tuple(name for some in named for name in some)
    check_once("--model", models)
    check_once("--perturbation", names)
    levels: dict[str, tuple[float, ...]] = {}
    if IMAGENET_C in perturbations and flags["levels"] is None:
        levels = dict.fromkeys(CORRUPTIONS, tuple(map(float, SEVERITIES)))
        # Images that are not corrupted are the same whatever the corruption: they are measured once.
        levels[CORRUPTIONS[0]] = (0.0, *levels[CORRUPTIONS[0]])
    return [
        recipe_from(model=model, perturbation=name, **flags | ({"levels": levels[name]} if name in levels else {}))
        for model in models or (None,)
        for name in names or (None,)
    ]


def common_axis(recipes: list["Recipe"]) -> Axis:
    """What the levels of all these recipes measure.

    Raises:
        WrongUse: if they have no common axis.
    """
    axes = {axis_of(recipe): recipe.perturbation for recipe in recipes}
    if len(axes) > 1:
        (one, first), (other, second), *_ = axes.items()
        raise WrongUse(
            f"--perturbation: {first} is measured in {one.label}, {second} in {other.label}; sweep them one after the other"
        )
    return next(iter(axes))


def show_sweep(
    recipes: dict[str, "Recipe"], refused: dict[str, str], metric: str, output: Output, *, axis: Axis
) -> None:
    """Prints a sweep's table. Ends with FAILED if a run was refused, with INCOMPLETE if one is incomplete."""
    from db.session import connect, reading
    from db.settings import load_settings
    from report.documents.sweep import document
    from report.sweep import read_sweep
    from worker.smoothers import SMOOTHERS

    uses = SMOOTHERS.find(next(iter(recipes.values())).smoother).uses
    with reading(connect(load_settings())) as session:
        found = read_sweep(
            session, recipes, axis=axis, metric=metric, uses=uses, interval=output.interval, refused=refused
        )
    output.show(document(found))
    output.draw("sweep", found)
    if refused:
        click.echo(f"smoothvote: {len(refused)} of {len(recipes)} runs were refused", err=True)
        raise SystemExit(FAILED)
    if not found.complete:
        raise SystemExit(INCOMPLETE)
