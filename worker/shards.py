"""Shards: reads one image out of a file of many. db/shards.py says how the record names it."""

import tarfile

from db.errors import Refusal
from db.settings import Settings, is_http, shown_url
from db.shards import Member, Span
from db.store import Entry
from worker.parquet import read_cell
from worker.stored import Stored, check_bytes, open_stored
from worker.unusable import Unusable


def read_member(folder: str, entry: Entry, settings: Settings) -> bytes:
    """Reads an image's bytes; none if the shard holds none of it.

    Args:
        folder: the folder or URL that the shards are in.
        entry: the image; its ``bytes`` is the size of the shard.
        settings: for the limit of bytes, and the folder that no path may leave.

    Raises:
        Unusable: outside_root, not_a_file, too_many_bytes, changed or unreadable.
        OSError: if the shard cannot be read.
        Refusal: if the machine cannot read, or the shards are gone altogether.
    """
    if is_http(folder):
        # A server may answer with the whole file where a part of it was asked for.
        raise Refusal(f"shards are not read over http: {shown_url(folder)}")
    try:
        member = Member.of(entry.path)
    except ValueError as error:
        raise Unusable("missing", str(error)) from None
    with open_stored(folder, member.file, settings) as shard:
        if entry.bytes not in (None, shard.size):
            raise Unusable(
                "changed",
                f"{member.file} has {shard.size} bytes, but had {entry.bytes} when it was submitted: submit again",
            )
        if isinstance(member.where, Span):
            return _read_span(shard, member, member.where, settings)
        data = read_cell(shard, f"{folder}/{member.file}", member, member.where)
        check_bytes(len(data), settings)
        return data


def _read_span(shard: Stored, member: Member, span: Span, settings: Settings) -> bytes:
    check_bytes(span.size, settings)
    # In a tar the header of an image is right before it.
    head = tarfile.BLOCKSIZE if member.file.lower().endswith(".tar") and span.first else 0
    data = shard.read(span.first - head, head + span.size)
    if head:
        _check_header(data[:head], member, span)
    if len(data) != head + span.size:
        raise Unusable("changed", f"{member.file} ends before this image does: submit again")
    return data[head:]


def _check_header(header: bytes, member: Member, span: Span) -> None:
    """Checks that the image is still where it was: a shard that was shuffled may have the same size."""
    try:
        found = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
    except tarfile.HeaderError:
        found = tarfile.TarInfo()
    # A header holds no longer name than this, and no other letters; the name is then in another header.
    whole = member.name.isascii() and len(member.name) <= tarfile.LENGTH_NAME - len("./")
    if found.size != span.size or (whole and found.name.removeprefix("./") != member.name):
        raise Unusable("changed", f"{member.file} has another file at byte {span.first}: submit again")
