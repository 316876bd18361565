"""Files of text that a person names: nothing is read of a device, or of a file that is larger than such files are."""

import errno
import os
import stat
from pathlib import Path


def check_text(file: Path, *, most: int) -> None:
    """Checks, before it is opened, that a file is an ordinary one of bounded size.

    A device may never end, and a pipe may never begin.

    Args:
        file: the file.
        most: its largest size in bytes.

    Raises:
        OSError: if it is not there; or is no ordinary file, or too large: ``strerror`` says so.
    """
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, "a device or a pipe, not a file")
    if found.st_size > most:
        raise OSError(0, f"{found.st_size:,} bytes are too many: at most {most:,}")
