"""The pages' style sheet, script and icon: a few files read once, and no others."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import NamedTuple

TYPES = {"style.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


class Static(NamedTuple):
    """One file: what it holds, what it is, and what tells this version of it from others."""

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
    """Where a file is. A new version has a new address, so that browsers may keep the old one for ever."""
    return f"/static/{name}?v={static_files()[name].version}"
