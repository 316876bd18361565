"""What a check of `smoothvote doctor` is, and how it is run. The checks themselves are in each room's doctor.py."""

from collections.abc import Callable
from threading import Thread
from typing import Literal, NamedTuple

from db.errors import SmoothvoteError, WrongUse
from db.settings import PREFIX, Settings, load_settings

#: Why the checks of a worker are skipped on a machine that only submits and reports.
NO_TORCH = "PyTorch is not installed here, as on a machine that only submits and reports"
#: What a queue's URL must look like.
NO_URL = "must be redis://[:PASSWORD@]HOST:6379/0 or rediss://…; in a password write any of :/?#[]@ as a %-escape"


class Finding(NamedTuple):
    """The result of a check. If something is wrong, the detail says what to do."""

    state: Literal["ok", "warn", "wrong", "skipped"]
    detail: str


class Check(NamedTuple):
    """One check. An error that ``look`` raises becomes a finding, too."""

    name: str
    look: Callable[[Settings], Finding]
    #: Seconds that the check may take, even if a host never answers; None if ``look`` has a limit of its own.
    limit: float | None = 15


def examine(check: Check, settings: Settings) -> Finding:
    """Runs a check, within its limit of time."""
    if check.limit is None:
        return _look(check, settings)
    found: list[Finding] = []
    # A daemon thread: one that hangs in a system call does not keep the command from ending.
    thread = Thread(target=lambda: found.append(_look(check, settings)), daemon=True)
    thread.start()
    thread.join(check.limit)
    return (
        found[0] if found else Finding("wrong", f"no answer in {check.limit:g} s: is the host or disk that it asks up?")
    )


def _look(check: Check, settings: Settings) -> Finding:
    try:
        return check.look(settings)
    except SmoothvoteError as error:
        return Finding("wrong", str(error))
    except Exception as error:
        # An unexpected error ends this check only. Its text is not shown, because it may quote a password.
        return Finding("wrong", f"this check ended with an unexpected {type(error).__name__}: please report it")


def usable_settings() -> tuple[Settings, dict[str, str]]:
    """The environment's settings, with defaults for wrong values; and what is wrong, by the name of the field."""
    wrong: dict[str, str] = {}
    while True:
        try:
            return load_settings(**{name: Settings.model_fields[name].get_default() for name in wrong}), wrong
        except WrongUse as error:
            name = str(error).partition(":")[0].removeprefix(PREFIX).lower()
            if name in wrong:
                raise
            # The original message may quote a part of the password.
            wrong[name] = f"{PREFIX}{name.upper()}: {NO_URL}" if name.endswith("_url") else str(error)


def gigabytes(count: float) -> str:
    """A number of bytes, such as ``1.5 GB``."""
    return f"{count / 1e9:.1f} GB"
