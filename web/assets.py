"""The style sheet, the script and the icon. Only these files are served."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TYPES = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Static(NamedTuple):
    """A file: its content, its media type, and a hash of its content."""

    content: bytes
    type: str
    version: str


@cache
def static_files() -> dict[str, Static]:
    """The files by name."""
    found = {}
    for name, kind in TYPES.items():
        content = (files("web") / "static" / name).read_bytes()
        found[name] = Static(content, kind, hashlib.sha256(content).hexdigest()[:12])
    return found


def address(name: str) -> str:
    """The address of a file. A changed file has another address, so a browser may keep the old one for ever."""
    return f"/static/{name}?v={static_files()[name].version}"
