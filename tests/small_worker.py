"""A worker in this process with a small real network, for tests in which the answers only have to be the same."""

from pathlib import Path
from typing import Any

from rows import take_due
from sqlalchemy import Engine, select

from cli.flags import recipe_from
from db.recipe import Recipe
from db.session import reading
from db.settings import Settings
from db.tables import Failure, Image, Prediction
from producer.dataset import Dataset
from producer.job_size import JobSize
from producer.submit import submit


def small_recipe(folder: Path, **changed: Any) -> Recipe:
    """A checkpoint of a small network with random weights, and outputs for the classes of ImageNet."""
    import torch
    from torchvision import models

    torch.manual_seed(0)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), folder / "model.pth")
    given = {"levels": (0.0, 0.25), "resize": 64, "crop": 64} | changed
    return recipe_from(
        preset=None, classes=None, model=str(folder / "model.pth"), arch="torchvision/squeezenet1_1", **given
    )


def measure(engine: Engine, settings: Settings, recipe: Recipe, dataset: Dataset) -> list[tuple[Any, ...]]:
    """Submits a run and does its jobs. Returns its rows in the dataset's order: all but ids and paths."""
    from worker.compute import Compute
    from worker.worker import Worker

    run_id = submit(engine, recipe, dataset, job_size=JobSize(2)).run_id
    settings = settings.model_copy(update={"engine": "eager", "device": "cpu", "batch_size": 6})
    worker = Worker(settings, Compute(settings))
    for job_id in take_due(engine):
        worker.do(job_id)
    worker.engine.dispose()
    columns = [column for column in Prediction.__table__.c if column.name not in ("run_id", "image_id")]
    with reading(engine) as session:
        found = session.execute(
            select(Image.position, Image.label, *columns, Failure.code)
            .outerjoin(Prediction, (Prediction.image_id == Image.id) & (Prediction.run_id == run_id))
            .outerjoin(Failure, (Failure.image_id == Image.id) & (Failure.run_id == run_id))
            .where((Prediction.run_id == run_id) | (Failure.run_id == run_id))
            .order_by(Image.position, Prediction.level)
        )
        return [tuple(row) for row in found]
