"""Charts as geometry: where points, intervals and lines lie, in the units of an SVG's viewBox. style.css draws them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from db.axis import Axis
from report.names import LINE_NAMES, POINT_NAMES
from report.report import Level, Report
from report.stats import CONFIDENCE, Rate

WIDTH, HEIGHT = 640, 400
#: Room for the text left of, right of, above and below the plot.
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 34
#: Width of a digit of a tick's text, at the larger size of style.css, for phones.
DIGIT = 13

#: Paths of markers around (0, 0). A reader tells series apart by marker and dashes, not by colour alone.
MARKERS = {
    "circle": "M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z",
    "square": "M-4.5,-4.5h9v9h-9Z",
    "up": "M0,-5.5L5.5,4.5H-5.5Z",
    "diamond": "M0,-6L6,0L0,6L-6,0Z",
    "down": "M0,5.5L5.5,-4.5H-5.5Z",
    "plus": "M-2,-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5Z",
    "cross": "M-5,-3L-3,-5L0,-2L3,-5L5,-3L2,0L5,3L3,5L0,2L-3,5L-5,3L-2,0Z",
}
MARKER_OF = {
    "acc_ns": "circle",
    "acc_ss": "square",
    "acc_ds": "up",
    "acc_maj": "diamond",
    "thresholding": "plus",
    "acc_maj_overall": "down",
    "reject_rate": "cross",
}
ACCURACIES = ("acc_ns", "acc_ss", "acc_ds", "acc_maj", "thresholding", "acc_maj_overall")


@dataclass(frozen=True, kw_only=True)
class Point:
    """A value with its interval: its place in the chart, and its description."""

    x: float
    y: float
    low: float
    high: float
    text: str
    #: The address of the images that it counts.
    href: str | None
    marker: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One series. `s-` and its key is its class in style.css."""

    key: str
    title: str
    path: str
    points: list[Point]
    marker: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, ready for its template."""

    key: str
    title: str
    x_title: str
    y_title: str
    #: Place and text of each tick.
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
    """A rate of a report, to be drawn against the levels of its run."""

    report: Report
    rate: str
    key: str
    title: str
    marker: str
    #: Gives the address of the images that the rate counts at a level; None where they cannot be listed.
    href: Callable[[Level], str | None]


def series_of(
    report: Report, names: Sequence[str], href: Callable[[str], Callable[[Level], str | None]]
) -> list[Series]:
    """A series for each of these rates that the report has."""
    return [
        Series(report=report, rate=name, key=name, title=LINE_NAMES[name], marker=MARKER_OF[name], href=href(name))
        for name in names
        if any(level.rate(name) for level in report.levels)
    ]


def rates_chart(key: str, title: str, series: Sequence[Series], *, y_title: str) -> Chart:
    """Rates against the level. All series must have the same axis.

    At one level the series stand side by side, so that no interval hides another.
    """
    axis = series[0].report.run.axis
    values = sorted({level.value for one in series for level in one.report.levels})
    x = scale(values[0], values[-1], LEFT + 36, WIDTH - RIGHT - 36)
    nearest = min((x(high) - x(low) for low, high in pairwise(values)), default=100)
    step = min(9.0, nearest / (len(series) + 1))
    top = _top(series)
    y = scale(0, top, HEIGHT - BOTTOM, TOP)
    lines = []
    for number, one in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * step
        points = [
            point_at(
                x(level.value) + shift,
                y,
                rate,
                f"{one.title} at {axis.at(level.value)}: {rate_words(rate)}",
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
        x_title=axis.label,
        y_title=y_title,
        x_ticks=_x_ticks(x, values, axis),
        y_ticks=y_ticks(y, top),
        lines=lines,
    )


def _top(series: Sequence[Series]) -> float:
    """The next tenth above every interval."""
    highest = max(rate.high for one in series for level in one.report.levels if (rate := level.rate(one.rate)))
    return min(1.0, int(highest * 10 + 1) / 10)


def risk_chart(level: Level, axis: Axis, href: Callable[[str], str]) -> Chart | None:
    """Risk against coverage at one level, of the vote and of confidence thresholding.

    Args:
        level: of a report.
        axis: of its run.
        href: gives the address of the images that the vote accepts at an operating point.

    Returns:
        None where no image has a label.
    """
    if not level.curve_vote:
        return None
    risks = [risk for curve in (level.curve_vote, level.curve_confidence) for _, risk in curve]
    rates = [rate for point in level.operating_points for rate in (point.accuracy, point.thresholding) if rate]
    top = min(1.0, int(max([*risks, *(1 - rate.low for rate in rates)]) * 10 + 1) / 10)
    x = scale(0, 1, LEFT, WIDTH - RIGHT)
    y = scale(0, top, HEIGHT - BOTTOM, TOP)
    curves = (
        ("thresholding", "confidence thresholding", level.curve_confidence, "plus"),
        ("vote", "the vote", level.curve_vote, "diamond"),
    )
    return Chart(
        key=f"risk-{level.value!r}".replace(".", "-"),
        title=axis.at(level.value),
        x_title="coverage: share of images accepted",
        y_title="risk: share of the accepted that is wrong",
        x_ticks=[(x(tenth / 5), f"{tenth / 5:g}") for tenth in range(6)],
        y_ticks=y_ticks(y, top),
        lines=[
            Line(
                key=key,
                title=title,
                path="M" + "L".join(f"{x(coverage):.1f},{y(risk):.1f}" for coverage, risk in curve),
                points=_operating_points(level, key, x, y, marker, href),
                marker=marker,
            )
            for key, title, curve, marker in curves
        ],
    )


def _operating_points(
    level: Level,
    key: str,
    x: Callable[[float], float],
    y: Callable[[float], float],
    marker: str,
    href: Callable[[str], str],
) -> list[Point]:
    """The points of one curve at which the vote accepts unanimous images, a majority, or all."""
    points = []
    for point in level.operating_points:
        accuracy = point.accuracy if key == "vote" else point.thresholding
        if accuracy is None or point.coverage is None:
            continue
        risk = Rate(accuracy.of - accuracy.hits, accuracy.of, 1 - accuracy.value, 1 - accuracy.high, 1 - accuracy.low)
        where = f"coverage {point.coverage.value:.3f}, risk {rate_words(risk)}"
        place = x(point.coverage.value)
        if key == "vote":
            said, target = f"The vote, {POINT_NAMES[point.name]}: {where}", href(point.name)
        else:
            # Its coverage is the vote's. Nine units apart, neither hides the other.
            said, target, place = f"Confidence thresholding, as many accepted: {where}", None, place - 9
        points.append(point_at(place, y, risk, said, target, marker))
    return points


def rate_words(rate: Rate) -> str:
    """A rate with its interval and denominator, as a sentence may hold it."""
    return f"{rate.value:.3f}, {CONFIDENCE:.0%} interval {rate.low:.3f} to {rate.high:.3f}, {rate.hits} of {rate.of}"


def point_at(x: float, y: Callable[[float], float], rate: Rate, text: str, href: str | None, marker: str) -> Point:
    """A rate with its interval at this place."""
    return Point(x=x, y=y(rate.value), low=y(rate.low), high=y(rate.high), text=text, href=href, marker=marker)


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{point.x:.1f},{point.y:.1f}" for point in points)


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """A linear map from values to places; a single value lies in the middle."""
    if low == high:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _x_ticks(x: Callable[[float], float], values: Sequence[float], axis: Axis) -> list[tuple[float, str]]:
    """A tick for each value, without text where it would overlap the text before it."""
    ticks: list[tuple[float, str]] = []
    free = 0.0
    for value in values:
        text = axis.number(value)
        half = len(text) * DIGIT / 2
        if x(value) - half < free:
            text = ""
        else:
            free = x(value) + half + DIGIT / 2
        ticks.append((x(value), text))
    return ticks


def y_ticks(y: Callable[[float], float], top: float) -> list[tuple[float, str]]:
    """Ticks of an axis of shares, from 0 to the top."""
    step = 0.2 if top > 0.5 else 0.1 if top > 0.2 else 0.05
    return [
        (y(number * step), f"{number * step:.2g}")
        for number in range(round(top / step) + 1)
        if number * step <= top + 1e-9
    ]
