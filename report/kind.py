"""The two kinds of runs: votes of three views, and certificates. What is said of one is not said of the other."""

from db.errors import WrongUse
from db.runs import RunInfo


def require_votes(run: RunInfo, instead: str) -> None:
    """Checks that a run is of votes.

    Args:
        run: the run.
        instead: the end of the message: what to use for a run of certificates.

    Raises:
        WrongUse: if it is of certificates.
    """
    if run.recipe.certifies:
        raise WrongUse(f"run {run.id} has certificates, and no votes of three views: {instead}")


def require_certificates(run: RunInfo, instead: str) -> None:
    """Checks that a run is of certificates.

    Args:
        run: the run.
        instead: the end of the message: what to use for a run of votes.

    Raises:
        WrongUse: if it is of votes.
    """
    if not run.recipe.certifies:
        raise WrongUse(f"run {run.id} has votes of three views, and no certificates: {instead}")
