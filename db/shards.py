"""Shards: files that hold many images each (tar, Arrow, Parquet), and how the record names an image in one.

The root of a dataset of shards has the scheme ``shards``: ``shards:///data/val``, or ``shards://val`` below the image
root, or ``shards+s3://bucket/val``. A worker that knows no shards takes this for a URL that is not allowed, and gives
the job back. The path of an image is ``FILE@WHERE/NAME``:

    val-000.tar@1536+45678/kite.jpg     45,678 bytes from byte 1,536 on; Arrow files the same
    val.parquet@image:17/kite.jpg       row 17 of the column ``image``

The record's ``bytes`` is the size of the shard, by which a worker sees that the shard was changed.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

#: Parquet is read by whole row groups. One whose images have more bytes than this is refused.
GROUP_LIMIT = 2**30


class Span(NamedTuple):
    """Where an image is in a shard that holds it as it is."""

    first: int
    size: int

    def __str__(self) -> str:
        return f"{self.first}+{self.size}"


class Cell(NamedTuple):
    """Where an image is in a Parquet file, which may compress it."""

    column: str
    row: int

    def __str__(self) -> str:
        return f"{quote(self.column, safe='')}:{self.row}"


class Member(NamedTuple):
    """An image in a shard."""

    #: The shard's path below the root.
    file: str
    where: Span | Cell
    #: What the shard calls the image; empty if it has no name.
    name: str

    @property
    def path(self) -> str:
        """The path that the record has."""
        # With "@" quoted in the file's name, the first "@" is where it ends.
        file = self.file.replace("%", "%25").replace("@", "%40")
        return f"{file}@{self.where}" + (f"/{self.name}" if self.name else "")

    @classmethod
    def of(cls, path: str) -> "Member":
        """The image that a path of the record names.

        Raises:
            ValueError: if it names none in a shard.
        """
        file, _, rest = path.partition("@")
        where, _, name = rest.partition("/")
        if span := re.fullmatch(r"(\d+)\+(\d+)", where, re.A):
            return cls(unquote(file), Span(int(span[1]), int(span[2])), name)
        if cell := re.fullmatch(r"([^:]*):(\d+)", where, re.A):
            return cls(unquote(file), Cell(unquote(cell[1]), int(cell[2])), name)
        raise ValueError(f"no image in a shard: {path}")


def storable(name: str) -> str:
    """A name from outside as the record can hold it: PostgreSQL stores no NUL, and UTF-8 has no lone surrogates."""
    return name.replace("\0", "").encode(errors="replace").decode()


def member_name(path: str | None) -> str:
    """The name of an image that was written to a table from this path; empty if the table does not say."""
    return storable((path or "").rstrip("/").rpartition("/")[2])


def shards_root(root: str) -> str:
    """The root of a dataset whose shards are in this folder or at this URL."""
    return f"shards+{root}" if "://" in root else f"shards://{root}"


def folder_of_shards(root: str) -> str | None:
    """The folder or URL that the shards are in; None if this is the root of no dataset of shards."""
    scheme, separator, rest = root.partition("://")
    if separator and scheme == "shards":
        return rest
    return root.removeprefix("shards+") if separator and scheme.startswith("shards+") else None
