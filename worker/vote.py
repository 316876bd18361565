"""The vote: the label that at least two of the three views share, else rejected."""


def majority(ns: int, ss: int, ds: int) -> int | None:
    """The label of the majority, or None: no two views agree."""
    if ns in (ss, ds):
        return ns
    return ss if ss == ds else None
