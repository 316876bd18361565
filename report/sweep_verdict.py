"""The answer of a sweep in words: which run is best at each level, or what all of ImageNet-C costs."""

from report.corrupted import Corrupted, Means
from report.names import TITLES
from report.rates import LESS_IS_BETTER
from report.stats import CONFIDENCE, Mean
from report.sweep import Sweep

#: Most runs that are named as the best of a level.
NAMED = 3
#: How to read a mean corruption error.
MEANING = (
    f"Intervals: {CONFIDENCE:.0%}, normal, over the images. 100 % is AlexNet's loss on ImageNet-C's own images, so on other "
    "images compare these numbers with each other, and not with published ones."
)


def verdict(sweep: Sweep) -> str:
    """Mean corruption errors where all of ImageNet-C was measured; else which complete run is best at each level."""
    if means := [words for one in sweep.corrupted if (words := mean_errors(one, sweep.called(one.recipe)))]:
        return " ".join([*means, MEANING])
    said = [
        words
        for perturbation in sweep.perturbations
        for value in sweep.levels
        if (words := _best(sweep, perturbation, value))
    ]
    if not said:
        return "No run is the best yet: at least two runs under one perturbation must be complete to be compared."
    most = "Lowest" if sweep.metric in LESS_IS_BETTER else "Highest"
    return f"{most} {TITLES[sweep.metric]} among the complete runs, at {'; '.join(said)}."


def _best(sweep: Sweep, perturbation: str, value: float) -> str:
    """The best runs at a level, and their rate; "" if there is no choice."""
    best = sweep.best_under(perturbation, value)
    rate = sweep.rate(best[0], value) if best else None
    if not rate:
        return ""
    under = f" under {perturbation}" if len(sweep.perturbations) > 1 else ""
    names = ", ".join(sweep.called(run.recipe) for run in best[:NAMED])
    more = f" and {len(best) - NAMED} more" if len(best) > NAMED else ""
    return f"{sweep.axis.at(value)}{under}: {names}{more} ({rate.value:.3f})"


def mean_errors(found: Corrupted, name: str) -> str:
    """mCE and relative mCE of the vote and without smoothing; "" while one of the 15 corruptions is missing.

    Args:
        found: of one recipe.
        name: what the recipe is called.
    """
    means = found.means
    if means is None:
        return ""
    said = f"mCE of {name}: {_share(means.vote)} for the vote, {_share(means.ns)} without smoothing"
    if means.relative_ns and means.relative_vote:
        said += f"; relative mCE: {_share(means.relative_vote)} and {_share(means.relative_ns)}"
    return f"{said}. {_change(means)}{_clean(found)}."


def _share(found: Mean) -> str:
    return f"{found.value:.1%} [{found.low:.1%}, {found.high:.1%}]"


def _change(means: Means) -> str:
    """Whether the vote has another mCE, image by image, than no smoothing."""
    points, low, high = (100 * end for end in (means.change.value, means.change.low, means.change.high))
    if low <= 0 <= high:
        return f"No effect of smoothing on mCE is shown (vote minus no smoothing: {points:+.1f} points [{low:+.1f}, {high:+.1f}])"
    return (
        f"Smoothing {'lowers' if points < 0 else 'raises'} mCE by {abs(points):.1f} points "
        f"[{min(abs(low), abs(high)):.1f}, {max(abs(low), abs(high)):.1f}]"
    )


def _clean(found: Corrupted) -> str:
    """The errors on clean images, which relative mCE leaves out; "" where they are not known."""
    if found.ns.clean is None or found.vote.clean is None:
        return ""
    return f"; on clean images the vote has {found.vote.clean:.1%} errors, no smoothing {found.ns.clean:.1%}"
