"""The doctor's checks of what every machine has: settings, database, disk and image root."""

import difflib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from db.checkup import Check, Finding, gigabytes, usable_settings
from db.errors import WrongUse
from db.session import connect, current_revision, first_line, open_engine, shown
from db.settings import PREFIX, Settings
from db.tables import REVISION, Dataset

#: The oldest PostgreSQL that the tests run with. An older one may work.
OLDEST_POSTGRES = (15,)
#: Free bytes for the home folder, below which the disk is wrong, and below which the check warns.
FULL, NEARLY_FULL = 10**8, 10**9


def check_settings(_: Settings) -> Finding:
    """Checks that every SMOOTHVOTE_ variable is a known setting, and valid."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    given = [name for name in given if not name.startswith(f"{PREFIX}TEST_")]
    problems = list(usable_settings()[1].values())
    for name in given:
        if name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            problems.append(f"{name} is no setting: {f'did you mean {near[0]}?' if near else 'unset it'}")
    if problems:
        return Finding("wrong", "; ".join(problems))
    return Finding(
        "ok", f"{', '.join(given)}: valid" if given else "no variable is set: all settings have their defaults"
    )


def check_database(settings: Settings) -> Finding:
    """Checks that the database can be reached and written to."""
    with _opened(settings) as engine:
        if missing := _missing(engine, settings):
            return missing
        revision = current_revision(engine)
        engine.dispose()  # reading set this connection to read-only; a new one has the server's own default
        try:
            _try_to_write(engine, migrated=revision == REVISION)
        except DBAPIError as error:
            return Finding(
                "wrong", f"{shown(engine)} cannot be written to: {first_line(error)}; check that its user may write"
            )
        version = engine.dialect.server_version_info or ()
        kind = "" if engine.dialect.name == "postgresql" else f"{engine.dialect.name} "
        said = f"{kind}{shown(engine)}, version {'.'.join(map(str, version))}, can be written to"
        if engine.dialect.name == "postgresql" and version < OLDEST_POSTGRES:
            return Finding("warn", f"{said}: this is tested with PostgreSQL 15 and newer")
        return Finding("ok", said)


def _try_to_write(engine: Engine, *, migrated: bool) -> None:
    """Writes as `submit` would, or as `db upgrade` would on an empty database; then rolls back."""
    row = {"name": "doctor", "root": "", "fingerprint": f"doctor {uuid4()}", "size": 0, "found": 0}
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(insert(Dataset).values(row) if migrated else text("CREATE TABLE smoothvote_doctor (n INT)"))
        connection.rollback()


def check_migrations(settings: Settings) -> Finding:
    """Checks that the database is at a revision that this code can work with."""
    try:
        with _opened(settings) as engine:
            if _missing(engine, settings):
                return Finding("skipped", "there is no database yet")
            current_revision(engine)
    except WrongUse:
        return Finding("skipped", "the database cannot be asked")
    connect(settings).dispose()
    return Finding("ok", f"at revision {REVISION}, which is this code's")


@contextmanager
def _opened(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def _missing(engine: Engine, settings: Settings) -> Finding | None:
    """A finding if the SQLite file does not exist. Connecting would create it, and a check must change nothing."""
    file = engine.url.database or ""
    if engine.dialect.name != "sqlite" or "uri" in engine.url.query or file == ":memory:" or Path(file).exists():
        return None
    if settings.embedded_database:
        return Finding("ok", f"SQLite in {settings.home}: not there yet, the first `smoothvote run` creates it")
    remedy = "run `smoothvote db upgrade`" if Path(file).absolute().parent.is_dir() else "create its folder first"
    return Finding("wrong", f"{file} does not exist: {remedy}")


def check_disk(settings: Settings) -> Finding:
    """Checks that the home folder can be written to, and that its disk has room."""
    home = settings.home.absolute()
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        # If a database is set, only `run` keeps something there.
        state: Literal["wrong", "warn"] = "wrong" if settings.embedded_database else "warn"
        return Finding(state, f"{settings.home} cannot be written to: set SMOOTHVOTE_HOME to another folder")
    free = shutil.disk_usage(place).free
    said = f"{gigabytes(free)} free for {settings.home}"
    if free < NEARLY_FULL:
        return Finding(
            "wrong" if free < FULL else "warn", f"{said}: make room, or set SMOOTHVOTE_HOME to a folder on another disk"
        )
    return Finding("ok", said)


def check_image_root(settings: Settings) -> Finding:
    """Checks that the folder that holds every dataset is mounted here."""
    root = settings.image_root
    if root is None:
        return Finding("skipped", "SMOOTHVOTE_IMAGE_ROOT is not set: images must have the same paths on every machine")
    try:
        with os.scandir(root) as entries:
            empty = next(entries, None) is None
    except OSError as error:
        return Finding("wrong", f"{root}: {error.strerror}; is it mounted, and is SMOOTHVOTE_IMAGE_ROOT right?")
    return Finding("wrong", f"{root} is empty: is it mounted?") if empty else Finding("ok", f"{root} can be read")


CHECKS = (
    Check("settings", check_settings),
    Check("database", check_database),
    Check("migrations", check_migrations),
    Check("disk", check_disk),
    Check("image_root", check_image_root),
)
