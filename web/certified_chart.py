"""The chart of certificates: certified accuracy against the radius, a falling line of steps for each σ."""

from collections.abc import Callable, Sequence

from report.certified_level import CertifiedLevel
from web.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARKERS,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Line,
    point_at,
    rate_words,
    scale,
    y_ticks,
)

#: The lines that style.css tells apart: the colours and dashes of more begin again.
STYLES = 6
#: Points of two lines at one radius stand so far apart, so that neither hides the other.
SIDE = 9.0


def certified_chart(key: str, title: str, lines: Sequence[tuple[str, CertifiedLevel]]) -> Chart | None:
    """Certified accuracy against the radius, with intervals at the reported radii.

    Args:
        key: the chart's id in its page.
        title: what stands above it.
        lines: a title and the certificates of each line.

    Returns:
        None where no image is certified with its true label.
    """
    last = max((radius for _, level in lines for radius, _ in level.curve), default=0.0)
    if not last:
        return None
    rates = [at.rate for _, level in lines for at in level.certified_accuracy]
    top = min(1.0, int(max(rate.high for rate in rates) * 10 + 1) / 10)
    aside = SIDE * (len(lines) - 1) / 2
    x = scale(0, last, LEFT + aside, WIDTH - RIGHT - aside)
    y = scale(0, top, HEIGHT - BOTTOM, TOP)
    step = 0.5 if last > 1.25 else 0.25 if last > 0.5 else 0.1
    return Chart(
        key=key,
        title=title,
        x_title="L2 radius, of the model's input in [0, 1]",
        y_title="certified accuracy",
        x_ticks=[(x(number * step), f"{number * step:g}") for number in range(int(last / step + 1e-9) + 1)],
        y_ticks=y_ticks(y, top),
        lines=[_line(number, named, level, x, y, number * SIDE - aside) for number, (named, level) in enumerate(lines)],
    )


def _line(
    number: int,
    title: str,
    level: CertifiedLevel,
    x: Callable[[float], float],
    y: Callable[[float], float],
    shift: float,
) -> Line:
    marker = tuple(MARKERS)[number % len(MARKERS)]
    points = [
        point_at(
            x(at.radius) + shift,
            y,
            at.rate,
            f"{title}, certified at radius {at.radius:g}: {rate_words(at.rate)}",
            None,
            marker,
        )
        for at in level.certified_accuracy
        if at.rate.hits
    ]
    return Line(key=f"sigma_{number % STYLES}", title=title, path=_path(level, x, y), points=points, marker=marker)


def _path(level: CertifiedLevel, x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """Steps that fall at each radius beyond which an image is no longer certified, down to 0."""
    if not level.curve:
        return f"M{x(0):.1f},{y(0):.1f}"
    steps = [f"V{y(share):.1f}H{x(radius):.1f}" for radius, share in level.curve]
    return f"M{x(0):.1f},{y(level.curve[0][1]):.1f}{''.join(steps)}V{y(0):.1f}"
