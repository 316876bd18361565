"""JSON lines: an object a row, text as it is, null for nothing."""

import json
from collections.abc import Iterable, Mapping
from typing import IO

from report.exports import Export, Page


def write(pages: Iterable[Page], types: Mapping[str, type], out: IO[bytes]) -> int:
    """Writes pages and returns the number of rows."""
    encode = json.JSONEncoder(ensure_ascii=False).encode
    count = 0
    for page in pages:
        lines = [encode(dict(zip(page, row, strict=True))) + "\n" for row in zip(*page.values(), strict=True)]
        out.write("".join(lines).encode())
        count += len(lines)
    return count


MEMBER = Export("jsonl", write)
