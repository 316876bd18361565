"""A check of `smoothvote doctor`: what it is, and how it is looked into. The checks are in each room's doctor.py."""

from collections.abc import Callable
from threading import Thread
from typing import Literal, NamedTuple

import click

from db.errors import SmoothvoteError, WrongUse
from db.settings import PREFIX, Settings, load_settings

#: Why a producer machine is asked no more.
NO_TORCH = "no torch here: a producer machine"
NO_URL = "must be redis://[:PASSWORD@]HOST:6379/0 or rediss://…, with %-escapes for what a password has of :/?#[]@"


COLOURS = {"ok": "green", "warn": "yellow", "wrong": "red", "skipped": "bright_black"}


class Finding(NamedTuple):
    """What a check found: of a wrong one the detail says what to do."""

    state: Literal["ok", "warn", "wrong", "skipped"]
    detail: str


class Check(NamedTuple):
    """One check. What its ``look`` raises is a finding like any other."""

    name: str
    look: Callable[[Settings], Finding]
    #: Seconds; None where ``look`` itself sees to its end. A host that swallows packets lets nobody wait longer.
    limit: float | None = 15


def examine(check: Check, settings: Settings) -> Finding:
    """What a check finds, within its limit."""
    if check.limit is None:
        return _look(check, settings)
    found: list[Finding] = []
    # A daemon: one that hangs in a system call is left behind, and does not keep the command from ending.
    thread = Thread(target=lambda: found.append(_look(check, settings)), daemon=True)
    thread.start()
    thread.join(check.limit)
    return found[0] if found else Finding("wrong", f"no answer in {check.limit:g} s: is the host or disk it asks up?")


def _look(check: Check, settings: Settings) -> Finding:
    try:
        return check.look(settings)
    except SmoothvoteError as error:
        return Finding("wrong", str(error))
    except Exception as error:
        # One check's trouble is never another's. What nobody foresaw is named, not quoted: it may quote a password.
        return Finding("wrong", f"this check ended with {type(error).__name__}, which nobody foresaw: please report it")


def usable_settings() -> tuple[Settings, dict[str, str]]:
    """The environment's settings, with the default where a variable is wrong; and of each such field, what is."""
    wrong: dict[str, str] = {}
    while True:
        try:
            return load_settings(**{name: Settings.model_fields[name].get_default() for name in wrong}), wrong
        except WrongUse as error:
            name = str(error).partition(":")[0].removeprefix(PREFIX).lower()
            if name in wrong:
                raise
            # What is told of a URL may quote a piece of its password.
            wrong[name] = f"{PREFIX}{name.upper()}: {NO_URL}" if name.endswith("_url") else str(error)


def gigabytes(count: float) -> str:
    """A number of bytes, to be read by people."""
    return f"{count / 1e9:.1f} GB"


def format_line(name: str, found: Finding) -> str:
    """A finding as a line, its state in colour; click leaves the colour out where there is no terminal."""
    return f"{click.style(f'{found.state:<8}', fg=COLOURS[found.state])}{name:<12}{found.detail}"
