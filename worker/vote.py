"""The vote: the label that at least two of the three views share; if none is shared, the image is rejected."""


def majority(ns: int, ss: int, ds: int) -> int | None:
    """The label of the majority; None, a reject, if no two views agree."""
    if ns in (ss, ds):
        return ns
    return ss if ss == ds else None
