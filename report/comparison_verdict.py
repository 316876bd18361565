"""The answer of a comparison in words: at which levels is which run right more often?"""

from db.axis import Axis
from report.attack import attacker
from report.comparison import Comparison, LevelComparison
from report.tested import Verdict
from report.text import so_far

#: The vote comes first: it is what would be deployed.
SPOKEN = {"maj": "Vote", "ns": "NS", "ss": "SS", "ds": "DS"}


def verdict(comparison: Comparison) -> str:
    """At which levels the second run is right more often than the first, less often, or neither is shown."""
    levels = [level for level in comparison.levels if level.both]
    if not levels:
        return "No image is predicted by both runs yet."
    axis = comparison.first.axis
    text = _labelled(levels, axis) if any(level.labelled for level in levels) else _unlabelled(levels, axis)
    text = f"{_attackers(comparison, levels)} {text}".lstrip()
    return text if comparison.complete else so_far(text)


def _attackers(comparison: Comparison, levels: list[LevelComparison]) -> str:
    """What it gains an attacker to know the defence; "" where both runs have attackers of one kind, or none."""
    axis, known = comparison.first.axis, [attacker(run.recipe) for run in (comparison.first, comparison.second)]
    if axis.kind != "attack" or known[0] == known[1]:
        return ""
    gains: list[str] = []
    loses: list[str] = []
    for level in levels:
        vote = level.views["maj"]
        if level.value > 0 and vote and vote.tested.verdict != "undecided":
            model, defence = (vote.first, vote.second) if known[0] == "model" else (vote.second, vote.first)
            shares = f"{axis.at(level.value)} (from {model.value:.3f} to {defence.value:.3f})"
            (gains if defence.value < model.value else loses).append(shares)
    said = []
    if gains:
        said.append(
            f"An attacker who knows the defence takes more robust accuracy from the vote at {', '.join(gains)}."
        )
    if loses:
        said.append(
            f"Warning: an attacker who knows the defence takes less at {', '.join(loses)}: one who knows more can do no worse, "
            "so that attack misses what it could find."
        )
    return " ".join(said) or "It is not shown that an attacker gains by knowing the defence."


def _labelled(levels: list[LevelComparison], axis: Axis) -> str:
    said = [f"{name}: {_view(levels, view, axis)}" for view, name in SPOKEN.items()]
    return f"This compares the second run with the first, image by image, adjusted for the levels (Holm). {'. '.join(said)}."


def _view(levels: list[LevelComparison], view: str, axis: Axis) -> str:
    """Where the second run is right more often by this view, with both shares, where less often, and where neither."""
    where: dict[Verdict, list[str]] = {"better": [], "worse": [], "undecided": []}
    compared = [(level.value, found) for level in levels if (found := level.views[view])]
    for value, found in compared:
        decided = found.tested.verdict != "undecided"
        shares = f" ({found.second.value:.3f} against {found.first.value:.3f})" if decided else ""
        where[found.tested.verdict].append(f"{axis.at(value)}{shares}")
    if not any(found.tested.pair.only_first or found.tested.pair.only_second for _, found in compared):
        return "both runs are right on the same images at every level"
    if len(where["undecided"]) == len(compared):
        return "no difference is shown at any level"
    begun = "the second is right "
    names = {"better": f"{begun}more often", "worse": f"{begun}less often", "undecided": "no difference is shown"}
    return "; ".join(f"{names[side]} at {', '.join(at)}" for side, at in where.items() if at)


def _unlabelled(levels: list[LevelComparison], axis: Axis) -> str:
    said = []
    for level in levels:
        rejected = [level.reject and level.reject.first, level.reject and level.reject.second]
        same, first, second = (f"{rate.value:.3f}" if rate else "–" for rate in (level.same_vote, *rejected))
        said.append(f"{same}; {first} and {second} at {axis.at(level.value)}")
    return (
        "No image has a label, so accuracy is unknown. Share of the images accepted by both votes that get the same label; "
        f"share rejected by the first and by the second: {', '.join(said)}."
    )
