"""A sweep: one run for each of many recipes over one dataset, models × perturbations × kernel sizes × kernel sigmas."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import click

from db.axis import NOISE, Axis
from db.errors import Refusal, WrongUse
from db.recipe import Recipe, make_recipe
from db.session import connect
from db.settings import Settings
from producer.broker import Broker
from producer.crew import crew
from producer.dataset import Dataset
from producer.dispatch import dispatch
from producer.job_size import AS_MEASURED, JobSize
from producer.submit import default_name, submit


def recipes_of(bases: Sequence[Recipe], sizes: Sequence[float], sigmas: Sequence[float]) -> list[Recipe]:
    """Each model and perturbation with each kernel, in the order given.

    Args:
        bases: one recipe per model and perturbation.
        sizes: sides of the kernels in pixels; empty: the size in the base.
        sigmas: standard deviations of the kernels in pixels; empty: the one in the base.

    Raises:
        WrongUse: for a kernel that is not valid, or a value that is given twice.
    """
    check_once("--kernel-size", [f"{size:g}" for size in sizes])
    check_once("--kernel-sigma", [f"{sigma:g}" for sigma in sigmas])
    return [
        make_recipe(**base.model_dump() | {"kernel_size": size, "kernel_sigma": sigma})
        for base in bases
        for size, sigma in product(sizes or [base.kernel_size], sigmas or [base.kernel_sigma])
    ]


def check_once(flag: str, values: Sequence[str]) -> None:
    """Refuses a value that a flag is given twice.

    Raises:
        WrongUse: naming the flag and the value.
    """
    if twice := next((value for value in values if values.count(value) > 1), None):
        raise WrongUse(f"{flag}: {twice} is given twice; name each once")


def name_of(recipe: Recipe, dataset: Dataset, name: str | None) -> str:
    """The name of one of a sweep's runs. It includes the kernel, which tells the runs of a model apart."""
    kernel = f"{recipe.kernel_size}x{recipe.kernel_size}-{recipe.kernel_sigma:g}"
    return "-".join([*([name] if name else []), default_name(recipe, dataset), kernel])


def views_of(recipe: Recipe, dataset: Dataset) -> int:
    """How many views a run has: three per image and level."""
    return dataset.size * len(recipe.levels) * 3


def plan(recipes: Mapping[str, Recipe], dataset: Dataset, name: str | None) -> dict[str, Any]:
    """What would be submitted, as plain data."""
    runs = [
        {
            "id": run_id,
            "name": name_of(recipe, dataset, name),
            "model": recipe.model,
            "perturbation": recipe.perturbation,
            "kernel_size": recipe.kernel_size,
            "kernel_sigma": recipe.kernel_sigma,
            "levels": recipe.levels,
            "views": views_of(recipe, dataset),
        }
        for run_id, recipe in recipes.items()
    ]
    return {
        "root": dataset.root,
        "images": dataset.size,
        "available": dataset.found,
        "labelled": dataset.labelled,
        "views": sum(views_of(recipe, dataset) for recipe in recipes.values()),
        "runs": runs,
    }


def announce(recipes: Mapping[str, Recipe], dataset: Dataset) -> None:
    """Says on stderr how much work a sweep is."""
    models = len({recipe.model for recipe in recipes.values()})
    perturbations = len({recipe.perturbation for recipe in recipes.values()})
    kernels = len(recipes) // (models * perturbations)
    levels = len({level for recipe in recipes.values() for level in recipe.levels})
    views = sum(views_of(recipe, dataset) for recipe in recipes.values())
    many = f"perturbations: {perturbations}, " if perturbations > 1 else ""
    click.echo(
        f"runs: {len(recipes)} (models: {models}, {many}kernels: {kernels}), images: {dataset.size}, "
        f"levels: {levels}, views: {views} in all",
        err=True,
    )


def sweep_here(
    settings: Settings,
    recipes: Mapping[str, Recipe],
    dataset: Dataset,
    *,
    workers: int,
    name: str | None = None,
    job_size: JobSize = AS_MEASURED,
    axis: Axis = NOISE,
    priority: int | None = None,
) -> dict[str, str]:
    """Submits every run, and sees them through one after the other with one crew.

    A run that is refused does not stop the others; later runs with the same classifier are refused with it.

    Args:
        settings: where the queue and the database are; what is not set is started here.
        recipes: by run id.
        dataset: what to measure on.
        workers: worker processes to start; 0 leaves the work to workers elsewhere.
        name: what the runs' names begin with.
        job_size: images per job.
        axis: what the recipes' levels measure.
        priority: runs with a higher one are served first; None: 0, and known runs keep their own.

    Returns:
        The reason for each run that was refused, by run id.

    Raises:
        BrokerDown: if the queue that is set cannot be reached.
        SmoothvoteError: if a run was cancelled, or another command works in the same folder.
        SystemExit: with INCOMPLETE, if it was interrupted.
    """
    names = {run_id: name_of(recipe, dataset, name) for run_id, recipe in recipes.items()}
    refused: dict[str, str] = {}
    with crew(settings, workers=workers) as here:
        submissions = [
            here.submit(recipe, dataset, name=names[run_id], job_size=job_size, axis=axis, priority=priority)
            for run_id, recipe in recipes.items()
        ]
        for number, submission in enumerate(submissions, 1):
            called = names[submission.run_id]
            click.echo(f"run {number} of {len(recipes)}: {called}", err=True)
            try:
                here.see_through(submission)
            except Refusal as error:
                refused[submission.run_id] = str(error)
                click.echo(f"smoothvote: {called} is refused: {error}", err=True)
    return refused


def sweep_submit(
    settings: Settings,
    recipes: Mapping[str, Recipe],
    dataset: Dataset,
    *,
    name: str | None = None,
    job_size: JobSize = AS_MEASURED,
    axis: Axis = NOISE,
    priority: int | None = None,
) -> None:
    """Records every run, or finds it recorded, and sends the jobs that are due.

    Raises:
        BrokerDown: if the queue that is set cannot be reached. Nothing is recorded then.
    """
    broker = Broker(settings)
    broker.queued()
    engine = connect(settings)
    new = 0
    for recipe in recipes.values():
        called = name_of(recipe, dataset, name)
        new += submit(engine, recipe, dataset, name=called, job_size=job_size, axis=axis, priority=priority).new
    sent = sum(dispatch(engine, broker, settings, run_ids=[run_id]) for run_id in recipes)
    click.echo(f"{new} new runs, {len(recipes) - new} known, {sent} jobs sent", err=True)
