"""Submitting records a run and its jobs in one transaction. Nothing is sent before that has ended."""

from dataclasses import dataclass

from sqlalchemy import Engine

from db.axis import NOISE, Axis
from db.copies import SELECTION
from db.errors import WrongUse
from db.recipe import DEFAULT_PERTURBATION, DEFAULT_SMOOTHER, UNSMOOTHED, Recipe
from db.session import writing
from db.submission import record_dataset, record_run
from producer.dataset import Dataset
from producer.job_size import AS_MEASURED, JobSize
from producer.progress import counted

#: Options of an attack that tell its runs apart, with the value that a run's name does not say.
NAMED_OPTIONS = {"attacker": "model", "target": "none"}


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
    job_size: JobSize = AS_MEASURED,
    n: int | None = None,
    axis: Axis = NOISE,
    priority: int | None = None,
) -> Submission:
    """Records the run of a recipe over a dataset, or finds it recorded.

    A certificate that was recorded with fewer copies gets the missing ones; one with more keeps them.

    Args:
        engine: the database.
        recipe: what to measure with.
        dataset: what to measure on.
        name: what to call the run; None: by dataset and model.
        job_size: images per job.
        n: of a certificate, how many copies of each image estimate the probability of its label; None for a vote.
        axis: what the recipe's levels measure.
        priority: runs with a higher one are served first; None: 0, and a known run keeps its own.

    Raises:
        WrongUse: if a certificate is given no n, or a vote is given one.
    """
    copies = copies_of(recipe, n)
    run_id = recipe.run_id(dataset.fingerprint)
    with writing(engine) as session:
        dataset_id = record_dataset(
            session,
            name=dataset.name,
            root=dataset.root,
            fingerprint=dataset.fingerprint,
            found=dataset.found,
            entries=counted(dataset.entries, "recorded", dataset.size),
        )
        new = record_run(
            session,
            run_id=run_id,
            dataset_id=dataset_id,
            name=name or default_name(recipe, dataset),
            recipe=recipe,
            copies=copies,
            axis=axis,
            priority=priority,
            **job_size.cut(session, recipe),
        )
    return Submission(run_id=run_id, new=new)


def copies_of(recipe: Recipe, n: int | None) -> int:
    """How many copies of each image a run has: n0 + n for a certificate, 1 for a vote.

    Raises:
        WrongUse: if a certificate is given no n, or a vote is given one.
    """
    if recipe.selection is None:
        if n is not None:
            raise WrongUse(f"--n: {n} copies are for a certificate; a vote has one: leave --n out")
        return 1
    if n is None or n < 1:
        raise WrongUse(f"--n: a certificate needs at least one copy that estimates (given: {n})")
    if recipe.stop_n not in (None, n):
        raise WrongUse(
            f"--n {n}: the looks of this certificate, which stops early, were chosen for n = {recipe.stop_n}"
        )
    return recipe.selection + n


def default_name(recipe: Recipe, dataset: Dataset) -> str:
    """The name of a run that was given none: dataset and model, and what is not as usual."""
    model = recipe.model.rsplit("/", 1)[-1].split("@")[0]
    perturbation = [] if recipe.perturbation == DEFAULT_PERTURBATION else [recipe.perturbation]
    options = dict(recipe.options or ())
    perturbation += [
        f"{name}-{options[name]}" for name, usual in NAMED_OPTIONS.items() if options.get(name, usual) != usual
    ]
    usual = UNSMOOTHED if recipe.certifies else DEFAULT_SMOOTHER
    smoother = [] if recipe.smoother == usual else [recipe.smoother]
    return "-".join([dataset.name, model, *perturbation, *smoother, *_certificate(recipe)])


def _certificate(recipe: Recipe) -> list[str]:
    """What the name of a certified run ends in: how many copies select the label and where images stop, if unusual."""
    if not recipe.certifies:
        return []
    selection = [] if recipe.selection == SELECTION else [f"n0-{recipe.selection}"]
    stop = [] if recipe.stop_radius is None else [f"stop-{recipe.stop_radius:g}"]
    return ["certificate", *selection, *stop]
