"""`smoothvote run`: submits a run, works on it and watches it, in one command."""

from db.axis import NOISE, Axis
from db.recipe import Recipe
from db.settings import Settings
from producer.crew import crew
from producer.dataset import Dataset
from producer.job_size import AS_MEASURED, JobSize


def run_here(
    settings: Settings,
    recipe: Recipe,
    dataset: Dataset,
    *,
    workers: int,
    name: str | None = None,
    job_size: JobSize = AS_MEASURED,
    n: int | None = None,
    axis: Axis = NOISE,
    priority: int | None = None,
) -> str:
    """Submits a run, waits until it is complete, and returns its id. Only what is missing is done.

    Args:
        settings: where the queue and the database are; what is not set is started here.
        recipe: what to measure with.
        dataset: what to measure on.
        workers: worker processes to start; 0 leaves the work to workers elsewhere.
        name: what to call the run; None: by dataset and model.
        job_size: images per job.
        n: of a certificate, how many copies of each image estimate the probability of its label; None for a vote.
        axis: what the recipe's levels measure.
        priority: runs with a higher one are served first; None: 0, and a known run keeps its own.

    Raises:
        Refusal: if the workers cannot do it, for want of the model's weights, say.
        BrokerDown: if the queue that is set cannot be reached.
        SmoothvoteError: if the run was cancelled, or another command works in the same folder.
        SystemExit: with INCOMPLETE, if it was interrupted.
    """
    with crew(settings, workers=workers) as here:
        submission = here.submit(recipe, dataset, name=name, job_size=job_size, n=n, axis=axis, priority=priority)
        here.see_through(submission)
    return submission.run_id
