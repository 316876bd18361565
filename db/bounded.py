"""Files that a person names: nothing is read of a device, or of a text that is larger than such texts are."""

import errno
import os
import stat
from pathlib import Path


def check_file(file: Path) -> os.stat_result:
    """Checks, before it is opened, that a file is an ordinary one, and returns what the system knows of it.

    A device may never end, and a pipe may never begin.

    Raises:
        OSError: if it is not there, or is no ordinary file: ``strerror`` says so.
    """
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "a device or a pipe, not a file")
    return found


def check_text(file: Path, *, most: int) -> None:
    """Checks, before it is opened, that a file is an ordinary one of at most ``most`` bytes.

    Raises:
        OSError: if it is not there; or is no ordinary file, or too large: ``strerror`` says so.
    """
    size = check_file(file).st_size
    if size > most:
        raise OSError(0, f"{size:,} bytes are too many: at most {most:,}")
