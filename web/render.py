"""Renders templates, and gives them their links and formats of numbers. Jinja escapes every value."""

from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from db.errors import plain
from db.runs import Progress
from report.document import Bold, Cell
from report.names import LINE_NAMES, OTHER_NAMES, POINT_NAMES
from report.stats import Mean, Paired, Rate
from report.text import beside, is_text, p_value, value
from web.assets import address
from web.charts import MARKERS


def page(template: str, /, status: int = 200, **values: Any) -> HTMLResponse:
    """Renders a template with these values."""
    return HTMLResponse(environment().get_template(template).render(values), status)


@cache
def environment() -> Environment:
    """The templates. A name without a value is an error, not an empty string."""
    made = Environment(
        loader=PackageLoader("web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        static=address,
        link=link,
        level_text=level_text,
        LINE_NAMES=LINE_NAMES,
        MARKERS=MARKERS,
        OTHER_NAMES=OTHER_NAMES,
        POINT_NAMES=POINT_NAMES,
    )
    made.filters.update(
        amount=amount,
        below=below,
        bold=lambda cell: isinstance(cell, Bold),
        capital=capital,
        ends=ends,
        moment=moment,
        p_value=p_value,
        plain=plain,
        share=share,
        signed=signed,
        state=state,
        value=value,
    )
    made.tests["text_column"] = is_text
    return made


def link(*path: object, **query: object) -> str:
    """An address on this server, without the query fields that are None. `class_` stands for `class`."""
    asked = {name.rstrip("_"): value for name, value in query.items() if value is not None}
    where = "/" + "/".join(quote(str(part), safe="") for part in path)
    return f"{where}?{urlencode(asked)}" if asked else where


def level_text(value: float) -> str:
    """A level as text that reads back as exactly the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def share(value: Rate | float | None) -> str:
    """A share with four decimals."""
    value = value.value if isinstance(value, Rate) else value
    return "–" if value is None else f"{value:.4f}"


def ends(found: Rate | Mean) -> str:
    """The ends of an interval."""
    return f"{found.low:.3f} – {found.high:.3f}"


def below(cell: Cell) -> str:
    """The smaller line below a cell of a document's table: its interval and counts, or a second text, or nothing."""

    def rate(found: Rate | Mean) -> str:
        counts = f" · {amount(found.hits)} of {amount(found.of)}" if isinstance(found, Rate) else ""
        return f"{ends(found)}{counts}"

    def difference(pair: Paired) -> str:
        return f"{signed(pair.low)} to {signed(pair.high)}"

    return beside(cell, rate, difference)


def signed(value: float) -> str:
    """A difference with its sign and four decimals."""
    return f"{value:+.4f}".replace("-", "−")


def capital(text: str) -> str:
    """Text with a capital first letter, as a label begins; a symbol such as ε stays as it is."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def amount(value: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f")


def moment(when: datetime) -> str:
    """A moment in this machine's time zone."""
    return f"{when.astimezone():%Y-%m-%d %H:%M}"


def state(so_far: Progress) -> str:
    """A run's state in one word."""
    return so_far.word
