"""The report's answer in words: should this vote be deployed, on this model, at this noise?"""

from report.report import Level, Report, Verdict


def verdict(report: Report) -> str:
    """Whether the vote beats the fair rival, which rejects as many images for their low softmax, level by level."""
    levels = [level for level in report.levels if level.predicted]
    if not levels:
        return "Nothing is predicted yet."
    text = _of_labelled(levels) if any(level.labelled for level in levels) else _of_unlabelled(levels)
    return text if report.complete else f"So far, with images pending: {text}"


def _of_labelled(levels: list[Level]) -> str:
    by_verdict: dict[Verdict, list[Level]] = {"better": [], "worse": [], "undecided": []}
    for level in levels:
        if level.verdict:
            by_verdict[level.verdict].append(level)
    better, worse, undecided = by_verdict.values()
    said = []
    if better:
        said.append(f"the vote is right more often at {_with_shares(better)}")
    if worse:
        said.append(f"the rival is at {_with_shares(worse)}" if better else f"the rival is right more often at {_with_shares(worse)}")  # fmt: skip
    if undecided:
        said.append(f"nothing decides at {_with_shares(undecided)}")
    measured = (
        "The vote against its fair rival, which rejects as many images, those of which the unsmoothed view is least confident "
        f"(accuracy of the accepted, vote against rival): {'; '.join(said)}."
    )
    return f"{measured} {_advice(better, worse, undecided)}"


def _advice(better: list[Level], worse: list[Level], undecided: list[Level]) -> str:
    cheaper = "rejecting by softmax needs one view of each image, the vote three"
    if not better and not worse:
        return f"No reason is seen to deploy the vote: {cheaper}. More images might decide it."
    if not better:
        return f"Do not deploy the vote here: {cheaper}, and is better where anything is shown."
    if not worse and not undecided:
        return "The vote pays at every level measured."
    return f"The vote pays at {_names(better)} only: elsewhere reject by softmax; {cheaper}."


def _with_shares(levels: list[Level]) -> str:
    said = []
    for level in levels:
        point = level.point("majority")
        shares = [_share(rate and rate.value) for rate in (point.accuracy, point.thresholding)]
        said.append(f"σ = {level.value:g} ({' against '.join(shares)})")
    return ", ".join(said)


def _names(levels: list[Level]) -> str:
    return ", ".join(f"σ = {level.value:g}" for level in levels)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _of_unlabelled(levels: list[Level]) -> str:
    agreement = ", ".join(
        f"σ = {level.value:g} ({_share(level.unanimous_rate and level.unanimous_rate.value)}, "
        f"{_share(level.reject_rate and level.reject_rate.value)})"
        for level in levels
    )
    return (
        "No image has a label, so what is right cannot be said, nor whether the vote pays. "
        f"Share of images of which all three views agree, and share rejected: at {agreement}."
    )
