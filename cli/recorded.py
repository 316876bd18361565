"""What the record knows of a run before it is submitted."""

from typing import TYPE_CHECKING, Any

import click

from db.errors import WrongUse

if TYPE_CHECKING:
    from db.recipe import Recipe
    from db.settings import Settings
    from producer.job_size import JobSize


def has_answers(settings: "Settings", run_id: str, n: int) -> bool:
    """Whether a run that was recorded with more copies has the answers of all images at this n already.

    If it has more copies but lacks answers, a line on stderr says that it is worked on to its end.

    Raises:
        WrongUse: if the run has more copies, and no part of them ends at this n.
    """
    from db.runs import find_run
    from db.session import connect, reading
    from report.counts import asked, check_end
    from report.pending import pending

    try:
        engine = connect(settings)
    except WrongUse:
        return False  # Submitting the run creates the record, or says what is wrong with it.
    with reading(engine) as session:
        try:
            run = find_run(session, run_id)
        except WrongUse:
            return False
        if run.id != run_id or n >= asked(run):
            return False
        check_end(session, run, n)
        if not pending(session, run, n):
            return True
    click.echo(
        f"run {run_id} has n = {asked(run)}, which is worked on; meanwhile: smoothvote report {run_id} --n {n}",
        err=True,
    )
    return False


def cut_as_recorded(settings: "Settings", recipe: "Recipe", job_size: "JobSize") -> dict[str, Any]:
    """How a run would be cut into jobs: as ``JobSize.cut``, also where there is no record yet."""
    from db.session import connect, reading

    try:
        engine = connect(settings)
    except WrongUse:
        return job_size.cut(None, recipe)
    with reading(engine) as session:
        cut = job_size.cut(session, recipe)
    engine.dispose()
    return cut
