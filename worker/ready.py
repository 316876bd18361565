"""Whether a worker process can do jobs now: the answer to a readiness probe."""

from db.errors import WrongUse
from db.settings import Settings
from db.workers import GONE_AFTER
from worker.activity import Activity
from worker.parent import check_queue


def why_not_ready(settings: Settings, activity: Activity) -> str | None:
    """Why a worker process takes no job, in one line; None: it can.

    Args:
        settings: where the queue is.
        activity: what the process does.
    """
    silent = activity.silent
    if silent is None:
        return "starting: it loads PyTorch, or waits for the database"
    if silent > GONE_AFTER:
        return f"the database has taken no heartbeat for {silent:.0f} s"
    if activity.stage == "loading":
        return "it loads a model"
    try:
        check_queue(settings)
    except WrongUse as error:
        return str(error)
    return None
