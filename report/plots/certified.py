"""Certified accuracy against the radius: a line a σ, and their envelope, as papers draw them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report.plots import Plot, check_plot_file
from report.plots.style import CURVES, figure, share_axis

if TYPE_CHECKING:
    from report.certified import Certified
    from report.certified_level import CertifiedLevel


def draw(found: "Certified", file: Path) -> None:
    """Draws the share of labelled images that are certified at each radius, with intervals at the reported radii.

    Raises:
        WrongUse: if no picture can be written to the file, or no image is labelled.
    """
    from report.documents.certified import headline
    from report.names import INTERVAL_NAMES
    from report.stats import CONFIDENCE

    check_plot_file(file)
    require_labels(found)
    title = f"{headline(found)}\nbars: {CONFIDENCE:.0%} {INTERVAL_NAMES[found.interval]} interval"
    with figure(file, title, 1, 1, figsize=(7, 5)) as (_, axes):
        envelope([level.curve for level in found.levels], axes)
        for number, level in enumerate(level for level in found.levels if level.certified_accuracy):
            colour, dash = CURVES[number % len(CURVES)]
            draw_curve(axes, level, colour, dash, f"σ = {level.sigma:g}")
            bars = [at for at in level.certified_accuracy if at.rate.hits]
            axes.errorbar(
                [at.radius for at in bars], [at.rate.value for at in bars],
                yerr=([at.rate.value - at.rate.low for at in bars], [at.rate.high - at.rate.value for at in bars]),
                fmt="none", ecolor=colour, elinewidth=0.8, capsize=3,
            )  # fmt: skip
        finish(axes)


def require_labels(found: "Certified") -> None:
    """Checks that there is certified accuracy to draw.

    Raises:
        WrongUse: if no image is labelled, or the images of a run that stops early are pending.
    """
    from db.errors import WrongUse

    if not any(level.labelled for level in found.levels):
        raise WrongUse(f"{found.name} has no labelled image yet: there is no certified accuracy to draw")
    if not any(level.certified_accuracy for level in found.levels):
        raise WrongUse(
            f"{found.name} stops early and has images pending: its certified accuracy is known once all stopped"
        )


def draw_curve(axes: Any, level: "CertifiedLevel", colour: str, dash: Any, label: str) -> None:
    """A line that falls at each radius beyond which an image is no longer certified, down to 0."""
    radii, shares = steps(level.curve)
    axes.step(radii, shares, where="pre", label=label, color=colour, linestyle=dash, linewidth=1.6)


def steps(curve: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The radii and shares of a line of steps, from radius 0 to where the share is 0."""
    if not curve:
        return [0.0], [0.0]
    radii, shares = [0.0, *(radius for radius, _ in curve)], [curve[0][1], *(share for _, share in curve)]
    return [*radii, radii[-1]], [*shares, 0.0]


def envelope(curves: Sequence[Sequence[tuple[float, float]]], axes: Any) -> None:
    """The highest of the lines at each radius, broad and grey below them."""
    radii = sorted({radius for curve in curves for radius, _ in curve})
    if len(curves) < 2 or not radii:
        return
    shares = [max(share_at(curve, radius) for curve in curves) for radius in radii]
    drawn = steps(list(zip(radii, shares, strict=True)))
    axes.step(*drawn, where="pre", label="best σ at each radius", color="#BBBBBB", linewidth=5, zorder=0)


def share_at(curve: Sequence[tuple[float, float]], radius: float) -> float:
    """The height of a line at a radius."""
    return next((share for at, share in curve if at >= radius), 0.0)


def finish(axes: Any) -> None:
    """Labels both axes; the share begins at 0."""
    axes.set_xlabel("L2 radius (model's input in [0, 1])")
    share_axis(axes, "certified accuracy")
    axes.set_ylim(0, None)


MEMBER = Plot(
    name="certified", of="certified", flag="plot", shows="certified accuracy against the radius", needs_labels=True, draw=draw
)  # fmt: skip
