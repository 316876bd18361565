"""Submitting records a run and its jobs in one transaction. Nothing is sent before that has ended."""

from dataclasses import dataclass

from sqlalchemy import Engine

from db.axis import NOISE, Axis
from db.recipe import DEFAULT_PERTURBATION, DEFAULT_SMOOTHER, Recipe
from db.session import writing
from db.store import record_dataset, record_run
from producer.dataset import Dataset

#: Images per job, the unit of retry: 768 views at four levels, some seconds of work for a CPU. Starting and ending a
#: job costs about half an image's time (docs/explanation/performance.md).
JOB_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A run that was submitted."""

    run_id: str
    #: False if the run was recorded before; submitting it again resumes it.
    new: bool


def submit(
    engine: Engine,
    recipe: Recipe,
    dataset: Dataset,
    *,
    name: str | None = None,
    job_size: int | None = None,
    axis: Axis = NOISE,
) -> Submission:
    """Records the run of a recipe over a dataset, or finds it recorded.

    Args:
        engine: the database.
        recipe: what to measure with.
        dataset: what to measure on.
        name: what to call the run; None: by dataset and model.
        job_size: images per job; None: JOB_SIZE.
        axis: what the recipe's levels measure.
    """
    run_id = recipe.run_id(dataset.fingerprint)
    with writing(engine) as session:
        dataset_id = record_dataset(
            session,
            name=dataset.name,
            root=dataset.root,
            fingerprint=dataset.fingerprint,
            found=dataset.found,
            entries=dataset.entries,
        )
        new = record_run(
            session,
            run_id=run_id,
            dataset_id=dataset_id,
            name=name or default_name(recipe, dataset),
            recipe=recipe,
            job_size=job_size or JOB_SIZE,
            axis=axis,
        )
    return Submission(run_id=run_id, new=new)


def default_name(recipe: Recipe, dataset: Dataset) -> str:
    """The name of a run that was given none: dataset and model, and what is not as in the article."""
    model = recipe.model.rsplit("/", 1)[-1].split("@")[0]
    perturbation = [] if recipe.perturbation == DEFAULT_PERTURBATION else [recipe.perturbation]
    smoother = [] if recipe.smoother == DEFAULT_SMOOTHER else [recipe.smoother]
    return "-".join([dataset.name, model, *perturbation, *smoother])
