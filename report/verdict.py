"""The answer of a report in words: is it worth deploying this vote, for this model and this perturbation?

Under attack the question is another one: report/attack_verdict.py answers it.
"""

from db.axis import Axis
from report.attack_verdict import attack_verdict
from report.report import Level, Report
from report.stats import Rate
from report.tested import Verdict
from report.text import so_far

NOTHING = "No image could be predicted: `smoothvote images RUN --outcome failed` says why."
COST = "Thresholding needs one view of an image, the vote three."


def verdict(report: Report) -> str:
    """Whether the vote beats confidence thresholding, which rejects as many images; under attack, whether it helps.

    Confidence thresholding rejects the images where the unsmoothed view has the lowest softmax probability (Hendrycks &
    Gimpel, 2017; Geifman & El-Yaniv, 2017).
    """
    levels = [level for level in report.levels if level.predicted]
    if not levels:
        return NOTHING if report.complete else "Nothing is predicted yet."
    axis = report.run.axis
    if axis.kind == "attack":
        text = attack_verdict(report, levels)
    else:
        text = _labelled(levels, axis) if any(level.labelled for level in levels) else _unlabelled(levels, axis)
    return text if report.complete else so_far(text)


def _labelled(levels: list[Level], axis: Axis) -> str:
    # Where the vote accepts no labelled image, there is no selective accuracy to compare.
    rejecting = [level for level in levels if level.labelled and level.acc_maj is None]
    accepting = [level for level in levels if level not in rejecting]
    better, worse, undecided = (_where(accepting, found) for found in ("better", "worse", "undecided"))
    advice = _advice(better, worse, undecided, rejecting, axis)
    if not (better or worse or undecided):
        return f"{advice} {COST} {_against_model(levels, axis)}"
    none = f" The vote accepts no image at {_at(rejecting, axis)}." if rejecting else ""
    return (
        f"{advice} At the same coverage, {_compared(better, worse, undecided, axis)}.{none} {COST} "
        f"{_against_model(levels, axis)}"
    )


def _compared(better: list[Level], worse: list[Level], undecided: list[Level], axis: Axis) -> str:
    """Where the vote has the higher selective accuracy, where confidence thresholding has, and where none is shown."""
    said = []
    if better:
        shares = _shares(better, axis, "{vote} against {other}")
        said.append(f"the vote has the higher selective accuracy at {shares}")
    if worse:
        shares = _shares(worse, axis, "{other} against the vote's {vote}")
        what = "it" if better else "the higher selective accuracy"
        said.append(f"confidence thresholding has {what} at {shares}")
    if undecided:
        shares = _shares(undecided, axis, "{vote} and {other}")
        what = "" if said else " between the selective accuracies of the vote and of confidence thresholding"
        said.append(f"no difference{what} is shown at {shares}")
    return "; ".join(said)


def _against_model(levels: list[Level], axis: Axis) -> str:
    """Whether the vote is right more often than the model without smoothing, over all images: a reject is wrong."""
    found: dict[Verdict, list[Level]] = {"better": [], "worse": [], "undecided": []}
    for level in levels:
        if tested := level.against_ns["maj"]:
            found[tested.verdict].append(level)
    said = []
    for amount, where in (("more", found["better"]), ("fewer", found["worse"])):
        if where:
            shares = ", ".join(
                f"{axis.at(level.value)} ({_share(level.acc_maj_overall)} against {_share(level.acc_ns)})"
                for level in where
            )
            said.append(f"the vote is right on {amount} images at {shares}")
    if undecided := found["undecided"]:
        numbers = ", ".join(axis.number(level.value) for level in undecided)
        at = f"at {axis.symbol} = {numbers}" if said or len(levels) == 1 else "at any level"
        said.append(f"no difference is shown {at}")
    return f"Against the unsmoothed view alone, {'; '.join(said)}."


def _where(levels: list[Level], found: Verdict) -> list[Level]:
    return [level for level in levels if level.verdict == found]


def _at(levels: list[Level], axis: Axis) -> str:
    return ", ".join(axis.at(level.value) for level in levels)


def _advice(better: list[Level], worse: list[Level], undecided: list[Level], rejecting: list[Level], axis: Axis) -> str:
    if not (better or worse or undecided):
        return f"The vote accepts no image at {_at(rejecting, axis)}: there is no reason to deploy it here."
    if not better and not worse:
        return "No reason to deploy the vote is shown; more images might show one."
    if not better:
        return "Do not deploy the vote here."
    if not (worse or undecided or rejecting):
        return "The vote pays at every level measured."
    return f"The vote pays only at {_at(better, axis)}: elsewhere use confidence thresholding."


def _shares(levels: list[Level], axis: Axis, pattern: str) -> str:
    """Each level with the two selective accuracies."""
    said = []
    for level in levels:
        point = level.point("majority")
        shares = pattern.format(vote=_share(point.accuracy), other=_share(point.thresholding))
        said.append(f"{axis.at(level.value)} ({shares})")
    return ", ".join(said)


def _share(rate: Rate | None) -> str:
    return f"{rate.value:.3f}" if rate else "–"


def _unlabelled(levels: list[Level], axis: Axis) -> str:
    shares = ", ".join(
        f"{_share(level.unanimous_rate)} and {_share(level.reject_rate)} at {axis.at(level.value)}" for level in levels
    )
    return (
        "No image has a label, so accuracy is unknown, and so is whether the vote pays. Share of images where all three "
        f"views agree, and share rejected: {shares}."
    )
