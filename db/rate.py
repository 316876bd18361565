"""How fast views were computed lately: it says how many images the jobs of a new run should have."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.recipe import VIEWS, Recipe, make_recipe
from db.tables import Job, Run

#: Jobs and runs that are looked at, the newest ones.
JOBS, RUNS = 20, 100


def views_per_second(session: Session, recipe: Recipe) -> float | None:
    """The rate at which one worker process computed views in the newest jobs of a run like this one; None: not known.

    Such a run has the same model, perturbation and smoother, and is a vote or a certificate like this one. If the
    workers differ, it is the rate of all these jobs together.
    """
    like, views, seconds = _kind(recipe), 0, 0.0
    for run in session.execute(select(Run.id, Run.recipe).order_by(Run.submitted_at.desc()).limit(RUNS)):
        try:
            known = make_recipe(**run.recipe)
        except WrongUse:  # a newer version's
            continue
        if _kind(known) != like:
            continue
        newest = select(Job).where(Job.run_id == run.id, Job.done_at.is_not(None)).order_by(Job.done_at.desc())
        for job in session.scalars(newest.where(Job.seconds > 0).limit(JOBS)):
            copies = job.copies_last - job.copies_first + 1 if known.certifies else len(VIEWS)
            views += (job.last - job.first + 1) * len(known.levels) * copies
            seconds += job.seconds or 0.0
        if seconds:
            return views / seconds
    return None


def _kind(recipe: Recipe) -> Recipe:
    """The recipe without what hardly changes the time that a view takes."""
    same = {"levels": (1.0,), "seed": 0, "grayscale": "convert"}
    stops = {"stop_radius": None, "stop_alpha": None, "stop_n": None}
    return recipe.model_copy(update=same | stops | {"selection": 1 if recipe.certifies else None})
