"""A grid of recipes over one dataset, made into runs: models × kernel sizes × kernel sigmas."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import click

from db.errors import Refusal, WrongUse
from db.recipe import Recipe, make_recipe
from db.session import connect
from db.settings import Settings
from producer.broker import Broker
from producer.dataset import Dataset
from producer.dispatch import dispatch
from producer.run import run_here
from producer.submit import default_name, submit


def recipes_of(models: Sequence[Recipe], sizes: Sequence[float], sigmas: Sequence[float]) -> list[Recipe]:
    """Each model with each kernel, in the order given.

    Args:
        models: a recipe for each model, whatever its kernel.
        sizes: sides of the kernels; none is the models' own.
        sigmas: their standard deviations in pixels; none is the models' own.

    Raises:
        WrongUse: for a kernel that cannot be, or a cell that is there twice.
    """
    for flag, values in (
        ("--model", [model.model for model in models]),
        ("--kernel-size", [f"{size:g}" for size in sizes]),
        ("--kernel-sigma", [f"{sigma:g}" for sigma in sigmas]),
    ):
        if twice := next((value for value in values if values.count(value) > 1), None):
            raise WrongUse(f"{flag}: {twice} is given twice; name each once")
    return [
        make_recipe(**model.model_dump() | {"kernel_size": size, "kernel_sigma": sigma})
        for model in models
        for size, sigma in product(sizes or [model.kernel_size], sigmas or [model.kernel_sigma])
    ]


def name_of(recipe: Recipe, dataset: Dataset, name: str | None) -> str:
    """What a cell's run is called: also by its kernel, or all of a model's would have one name."""
    kernel = f"{recipe.kernel_size}x{recipe.kernel_size}-{recipe.kernel_sigma:g}"
    return "-".join([*([name] if name else []), default_name(recipe, dataset), kernel])


def views_of(recipe: Recipe, dataset: Dataset) -> int:
    """How many views a run is."""
    return len(dataset.entries) * len(recipe.levels) * 3


def plan(recipes: Mapping[str, Recipe], dataset: Dataset, name: str | None) -> dict[str, Any]:
    """What would be submitted, as plain data."""
    runs = [
        {
            "id": run_id,
            "name": name_of(recipe, dataset, name),
            "model": recipe.model,
            "kernel_size": recipe.kernel_size,
            "kernel_sigma": recipe.kernel_sigma,
            "levels": recipe.levels,
            "views": views_of(recipe, dataset),
        }
        for run_id, recipe in recipes.items()
    ]
    return {
        "root": dataset.root,
        "images": len(dataset.entries),
        "available": dataset.found,
        "labelled": dataset.labelled,
        "views": sum(views_of(recipe, dataset) for recipe in recipes.values()),
        "runs": runs,
    }


def announce(recipes: Mapping[str, Recipe], dataset: Dataset) -> None:
    """Says how much work a sweep is."""
    models = len({recipe.model for recipe in recipes.values()})
    levels = len(next(iter(recipes.values())).levels)
    views = sum(views_of(recipe, dataset) for recipe in recipes.values())
    click.echo(
        f"runs: {len(recipes)} (models: {models}, kernels: {len(recipes) // models}), images: {len(dataset.entries)}, "
        f"noise levels: {levels}, views: {views} in all",
        err=True,
    )


def sweep_here(
    settings: Settings,
    recipes: Mapping[str, Recipe],
    dataset: Dataset,
    *,
    workers: int,
    name: str | None = None,
    job_size: int | None = None,
) -> dict[str, str]:
    """Sees each run through, one after the other; gives those that no worker could do, by id, with the reason.

    A run that is refused does not lose the others. Those of the same classifier are not tried.

    Raises:
        SmoothvoteError: as `run_here`, for all but a refusal.
        SystemExit: with INCOMPLETE, if it was interrupted.
    """
    refused: dict[str, str] = {}
    reasons: dict[Recipe, str] = {}
    for number, (run_id, recipe) in enumerate(recipes.items(), 1):
        called = name_of(recipe, dataset, name)
        click.echo(f"run {number} of {len(recipes)}: {called}", err=True)
        classifier = recipe.classifier_key()
        if classifier not in reasons:
            try:
                run_here(settings, recipe, dataset, workers=workers, name=called, job_size=job_size)
                continue
            except Refusal as error:
                reasons[classifier] = str(error)
        refused[run_id] = reasons[classifier]
        click.echo(f"smoothvote: {called} is refused: {reasons[classifier]}", err=True)
    return refused


def sweep_submit(
    settings: Settings,
    recipes: Mapping[str, Recipe],
    dataset: Dataset,
    *,
    name: str | None = None,
    job_size: int | None = None,
) -> None:
    """Records every run, or finds it recorded, and sends what is due.

    Raises:
        BrokerDown: if the queue that is set cannot be reached; then nothing is recorded.
    """
    broker = Broker(settings)
    broker.queued()
    engine = connect(settings)
    new = 0
    for recipe in recipes.values():
        called = name_of(recipe, dataset, name)
        new += submit(engine, recipe, dataset, name=called, job_size=job_size).new
    sent = sum(dispatch(engine, broker, settings, run_id=run_id) for run_id in recipes)
    click.echo(f"{new} new runs, {len(recipes) - new} known, {sent} jobs sent", err=True)
