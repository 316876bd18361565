"""JSON, for programs: everything that a document knows."""

import json
import re
from typing import Any

from report.document import Document
from report.formats import Format
from report.screen import Screen


def text(document: Document, screen: Screen, detail: bool) -> str:
    """The document's plain data; ``screen`` and ``detail`` change nothing."""
    return json_text(document.data)


def json_text(data: Any) -> str:
    """JSON that people can read, too: indented, but for lists of numbers, which stand on one line."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    # Strings hold no newlines in JSON: what is matched is never one.
    return re.sub(r"\[\n[\s\d.eE+,\[\]-]*\n\s*\]", lambda found: " ".join(found[0].split()), text)


MEMBER = Format("json", text)
