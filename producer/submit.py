"""Submitting: a dataset and a recipe become a run and its jobs, in one transaction; nothing is sent before it ends."""

from dataclasses import dataclass

from sqlalchemy import Engine

from db.recipe import Recipe
from db.session import writing
from db.store import record_dataset, record_run
from producer.dataset import Dataset

#: Images of a job, the unit of retry: 768 views at four levels, some seconds of work for a CPU. Its beginning and end
#: cost about half an image's time (docs/explanation/performance.md).
JOB_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What submitting did."""

    run_id: str
    #: False where the run was recorded before: submitting again resumes it.
    new: bool


def submit(
    engine: Engine, recipe: Recipe, dataset: Dataset, *, name: str | None = None, job_size: int | None = None
) -> Submission:
    """Records the run of a recipe over a dataset, or finds it recorded."""
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
        )
    return Submission(run_id=run_id, new=new)


def default_name(recipe: Recipe, dataset: Dataset) -> str:
    """What a run is called unless it is given a name."""
    model = recipe.model.rsplit("/", 1)[-1].split("@")[0]
    return f"{dataset.name}-{model}"
