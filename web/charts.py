"""Where a chart's points, bars and lines lie, in the units of an SVG's viewBox. What they look like is style.css's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from report.names import POINT_NAMES
from report.plots.rates import NAMES
from report.report import Level, Report
from report.stats import CONFIDENCE, Rate

WIDTH, HEIGHT = 640, 400
#: Room for what is written left of, right of, above and below the plot.
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34

#: Markers around (0, 0): series are told apart by these and by dashes, as well as by colour.
MARKERS = {
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "square": "M-4.5,-4.5h9v9h-9Z",
    "up": "M0,-5.5L5.5,4.5H-5.5Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "down": "M0,5.5L5.5,-4.5H-5.5Z",
    "cross": "M-5,-3L-3,-5L0,-2L3,-5L5,-3L2,0L5,3L3,5L0,2L-3,5L-5,3L-2,0Z",
}
MARKER_OF = {
    "acc_ns": "circle",
    "acc_ss": "square",
    "acc_ds": "up",
    "acc_maj": "diamond",
    "acc_maj_overall": "down",
    "reject_rate": "cross",
}
ACCURACIES = ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "acc_maj_overall")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with its interval: where it lies, and what it says."""

    x: float
    y: float
    low: float
    high: float
    text: str
    #: The images behind it.
    href: str | None
    marker: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series. Its key is its class in style.css."""

    key: str
    title: str
    path: str
    points: list[Point]
    marker: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart ready to be drawn."""

    key: str
    title: str
    x_title: str
    y_title: str
    #: Where, and what is written there.
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: list[Line]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, kw_only=True)
class Series:
    """A rate of a report, to be drawn against σ."""

    report: Report
    rate: str
    key: str
    title: str
    marker: str
    #: Of a level: the images behind it.
    href: Callable[[Level], str]


def series_of(report: Report, names: Sequence[str], href: Callable[[str], Callable[[Level], str]]) -> list[Series]:
    """These rates of one report, those that it has."""
    return [
        Series(report=report, rate=name, key=name, title=NAMES[name], marker=MARKER_OF[name], href=href(name))
        for name in names
        if any(level.rate(name) for level in report.levels)
    ]


def rates_chart(key: str, title: str, series: Sequence[Series], *, y_title: str) -> Chart:
    """Rates against σ, side by side, or their intervals would hide one another."""
    values = sorted({level.value for one in series for level in one.report.levels})
    x = _scale(values[0], values[-1], LEFT + 36, WIDTH - RIGHT - 36)
    nearest = min((x(high) - x(low) for low, high in pairwise(values)), default=100)
    step = min(9.0, nearest / (len(series) + 1))
    top = 1.0 if len(series) > 1 else _top(series)
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    lines = []
    for number, one in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * step
        points = [
            _point(
                x(level.value) + shift,
                y,
                rate,
                f"{one.title} at σ = {level.value:g}: {rate_words(rate)}",
                one.href(level),
                one.marker,
            )
            for level in one.report.levels
            if (rate := level.rate(one.rate))
        ]
        lines.append(Line(key=one.key, title=one.title, path=_path(points), points=points, marker=one.marker))
    return Chart(
        key=key,
        title=title,
        x_title="noise level σ",
        y_title=y_title,
        x_ticks=[(x(value), f"{value:g}") for value in values],
        y_ticks=_y_ticks(y, top),
        lines=lines,
    )


def _top(series: Sequence[Series]) -> float:
    """Above every interval, in tenths."""
    highest = max(rate.high for one in series for level in one.report.levels if (rate := level.rate(one.rate)))
    return min(1.0, int(highest * 10 + 1) / 10)


def risk_chart(level: Level, href: Callable[[str], str]) -> Chart | None:
    """Risk against coverage at one level: the vote and its rival; None where nothing is labelled.

    Args:
        level: of a report.
        href: where the images are that an operating point accepts.
    """
    if not level.curve_vote:
        return None
    risks = [risk for curve in (level.curve_vote, level.curve_confidence) for _, risk in curve]
    rates = [rate for point in level.operating_points for rate in (point.accuracy, point.thresholding) if rate]
    top = min(1.0, int(max([*risks, *(1 - rate.low for rate in rates)]) * 10 + 1) / 10)
    x = _scale(0, 1, LEFT, WIDTH - RIGHT)
    y = _scale(0, top, HEIGHT - BOTTOM, TOP)
    marks: dict[str, list[Point]] = {"vote": [], "rival": []}
    for point in level.operating_points:
        for key, rate, title, marker in (
            ("vote", point.accuracy, "the vote", "diamond"),
            ("rival", point.thresholding, "as many by softmax", "circle"),
        ):
            if rate is None or point.coverage is None:
                continue
            risk = Rate(rate.of - rate.hits, rate.of, 1 - rate.value, 1 - rate.high, 1 - rate.low)
            said = f"{POINT_NAMES[point.name]}, {title}: coverage {point.coverage.value:.3f}, risk {rate_words(risk)}"
            target = href(point.name) if key == "vote" else None
            # The two at the same coverage stand a little apart, or one would hide the other.
            shift = 0 if key == "vote" else -9
            marks[key].append(_point(x(point.coverage.value) + shift, y, risk, said, target, marker))
    curves = (
        ("rival", "rejecting the least confident (softmax of ns)", level.curve_confidence, "circle"),
        ("vote", "the vote, then its mean softmax", level.curve_vote, "diamond"),
    )
    lines = [
        Line(
            key=key,
            title=title,
            path="M" + "L".join(f"{x(coverage):.1f},{y(risk):.1f}" for coverage, risk in curve),
            points=marks[key],
            marker=marker,
        )
        for key, title, curve, marker in curves
    ]
    return Chart(
        key=f"risk-{level.value:g}".replace(".", "-"),
        title=f"σ = {level.value:g}",
        x_title="coverage: share that is accepted",
        y_title="risk: share of the accepted that is wrong",
        x_ticks=[(x(tenth / 5), f"{tenth / 5:g}") for tenth in range(6)],
        y_ticks=_y_ticks(y, top),
        lines=lines,
    )


def rate_words(rate: Rate) -> str:
    """A rate with its interval and denominator, as a sentence may hold it."""
    return f"{rate.value:.3f}, {CONFIDENCE:.0%} interval {rate.low:.3f} to {rate.high:.3f}, {rate.hits} of {rate.of}"


def _point(x: float, y: Callable[[float], float], rate: Rate, text: str, href: str | None, marker: str) -> Point:
    return Point(x=x, y=y(rate.value), low=y(rate.low), high=y(rate.high), text=text, href=href, marker=marker)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{point.x:.1f},{point.y:.1f}" for point in points)


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """From values to places; a single value lies in the middle."""
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _y_ticks(y: Callable[[float], float], top: float) -> list[tuple[float, str]]:
    step = 0.2 if top > 0.5 else 0.1 if top > 0.2 else 0.05
    return [
        (y(number * step), f"{number * step:.2g}")
        for number in range(round(top / step) + 1)
        if number * step <= top + 1e-9
    ]
