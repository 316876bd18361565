"""How many images a job has: the unit of retry, of fairness and of what a worker has in hand."""

from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from db.copies import JOB_VIEWS
from db.rate import views_per_second
from db.recipe import VIEWS, Recipe

#: Images per job as long as nobody knows how fast they are computed: 768 views at four levels, some seconds of work for
#: a CPU. Starting and ending a job costs about half an image's time (docs/explanation/performance.md).
USUAL = 64
#: The most images in a job, and the seconds of work that a job is given where the rate is known.
MOST, SECONDS = 1000, 5.0


class JobSize(NamedTuple):
    """How many images the jobs of a new run have."""

    #: As somebody chose; None: SECONDS of work, as measured in runs like it.
    given: int | None = None
    #: Where there are no such runs. Fewer where one image takes seconds.
    usual: int = USUAL

    def cut(self, session: Session | None, recipe: Recipe) -> dict[str, Any]:
        """``job_size`` and ``job_views`` of a run, as ``db.submission.record_run`` takes them.

        Args:
            session: to read the rate of runs like it; None: there is no record yet.
            recipe: the run's.
        """
        rate = views_per_second(session, recipe) if session and not self.given else None
        if recipe.certifies:
            return {"job_size": self.given, "job_views": max(1, round(SECONDS * rate)) if rate else JOB_VIEWS}
        measured = round(SECONDS * rate / (len(recipe.levels) * len(VIEWS))) if rate else self.usual
        return {"job_size": self.given or min(max(measured, 1), MOST), "job_views": JOB_VIEWS}


AS_MEASURED = JobSize()
