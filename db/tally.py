"""The counting of a run's predictions, level by level: the numbers that a report is made of.

The database counts. Two queries group the rows of a run: by the confidence of the unsmoothed view ns, and by how many
views agree. Both groupings are by steps of 1/STEPS of confidence, so each query returns at most a few thousand rows
per level, however many predictions there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Integer, Select, Subquery, and_, case, func, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from db.outcome import Judged, one
from db.runs import RunInfo
from db.tables import Image, Prediction

#: Confidences are grouped into so many steps. Within the one step that a threshold falls into, rows are ranked.
STEPS = 1000
#: A curve keeps about so many points.
POINTS = 100


class Thresholding(NamedTuple):
    """Confidence thresholding: accepts the labelled images of which ns is most confident, as many as the vote does."""

    #: Accepted images of which ns is right.
    right: int
    #: Those of them that the vote accepts and gets right, too.
    both: int


NOTHING = Thresholding(0, 0)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """The counts of one level, in images. `right_…` and `both_…` count labelled images only."""

    predicted: int = 0
    labelled: int = 0
    #: At least two views agree.
    accepted: int = 0
    accepted_labelled: int = 0
    #: All three views agree.
    unanimous: int = 0
    unanimous_labelled: int = 0
    #: ss, or ds, agrees with ns.
    agree_ss: int = 0
    agree_ds: int = 0
    right_ns: int = 0
    right_ss: int = 0
    right_ds: int = 0
    #: The vote is right; a rejected vote is not.
    right_maj: int = 0
    right_unanimous: int = 0
    #: The vote rejects, and ns is right.
    right_fallback: int = 0
    #: Both ns and the other are right.
    both_ss: int = 0
    both_ds: int = 0
    both_maj: int = 0
    #: Confidence thresholding at the coverage of the vote, and at the coverage of unanimous views.
    thresholding_majority: Thresholding = NOTHING
    thresholding_unanimous: Thresholding = NOTHING
    #: (accepted, right) labelled images as a threshold on the softmax probability of ns falls.
    curve_confidence: Sequence[tuple[int, int]] = ()
    #: The same as a threshold falls on the number of views that agree, then on their mean softmax probability.
    curve_vote: Sequence[tuple[int, int]] = ()


def count(session: Session, run: RunInfo) -> dict[float, Tally]:
    """Counts a run's predictions; gives the tally of each level that has any."""
    rows = _rows(run)
    steps: dict[float, list[dict[str, Any]]] = {}
    for row in session.execute(_by_confidence(rows)):
        steps.setdefault(row.level, []).append(row._asdict())
    votes: dict[float, list[tuple[int, int]]] = {}
    for row in session.execute(_by_votes(rows)):
        votes.setdefault(row.level, []).append((row.labelled, row.right))
    sums = {
        level: {name: sum(step[name] for step in found) for name in found[0] if name not in ("level", "step")}
        for level, found in steps.items()
    }
    cuts = {
        (level, point): _cut(found, sums[level][f"{point}_labelled"])
        for level, found in steps.items()
        for point in ("accepted", "unanimous")
    }
    parts = _parts(session, rows, cuts)

    def thresholding(level: float, point: str, both: str) -> Thresholding:
        return _thresholding(steps[level], cuts[level, point], parts.get((level, point), NOTHING), both)

    return {
        level: Tally(
            **sums[level],
            thresholding_majority=thresholding(level, "accepted", "both_maj"),
            thresholding_unanimous=thresholding(level, "unanimous", "right_unanimous"),
            curve_confidence=_curve([(step["labelled"], step["right_ns"]) for step in found]),
            curve_vote=_curve(votes[level]),
        )
        for level, found in steps.items()
    }


class floor_of(FunctionElement[int]):  # noqa: N801 - lower case, as SQLAlchemy's own functions are
    """The whole part of a number that is not negative. SQLite may lack floor(), and PostgreSQL's casts round."""

    type = Integer()
    inherit_cache = True


@compiles(floor_of)
def _floor_of(element: floor_of, compiler: Any, **kw: Any) -> str:
    return f"CAST(floor({compiler.process(element.clauses, **kw)}) AS INTEGER)"


@compiles(floor_of, "sqlite")
def _floor_of_sqlite(element: floor_of, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS INTEGER)"


def _rows(run: RunInfo) -> Subquery:
    """One row per prediction, with each condition that is counted as 0 or 1."""
    judged = Judged()
    ns, ss, ds, label = judged.ns, judged.ss, judged.ds, judged.label
    confidence = (Prediction.confidence_ns, Prediction.confidence_ss, Prediction.confidence_ds)
    # The mean over the views that agree; where none do, ns's own.
    mean = case(
        (judged.unanimous, (confidence[0] + confidence[1] + confidence[2]) / 3),
        (ns == ss, (confidence[0] + confidence[1]) / 2),
        (ns == ds, (confidence[0] + confidence[2]) / 2),
        (ss == ds, (confidence[1] + confidence[2]) / 2),
        else_=confidence[0],
    )
    conditions = {
        "labelled": judged.labelled,
        "accepted": judged.accepted,
        "unanimous": judged.unanimous,
        "agree_ss": ns == ss,
        "agree_ds": ns == ds,
        "right_ns": ns == label,
        "right_ss": ss == label,
        "right_ds": ds == label,
        "right_maj": judged.right,
    }
    return (
        select(
            Prediction.image_id,
            Prediction.level,
            Prediction.confidence_ns,
            floor_of(Prediction.confidence_ns * STEPS).label("step"),
            floor_of(mean * STEPS).label("mean_step"),
            judged.votes.label("votes"),
            *(one(condition).label(name) for name, condition in conditions.items()),
        )
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id)
        .subquery("rows")
    )


def _by_confidence(rows: Subquery) -> Select[Any]:
    """All sums by level and step of ns's confidence, the most confident step first."""
    c = rows.c
    agreement = ("labelled", "accepted", "unanimous", "agree_ss", "agree_ds")
    right = ("right_ns", "right_ss", "right_ds", "right_maj")
    summed = {name: c[name] for name in (*agreement, *right)} | {
        "accepted_labelled": c.accepted * c.labelled,
        "unanimous_labelled": c.unanimous * c.labelled,
        "right_unanimous": c.unanimous * c.right_ns,
        "right_fallback": (1 - c.accepted) * c.right_ns,
        "both_ss": c.right_ns * c.right_ss,
        "both_ds": c.right_ns * c.right_ds,
        "both_maj": c.right_ns * c.right_maj,
    }
    columns = [func.sum(column).label(name) for name, column in summed.items()]
    found = select(c.level, c.step, func.count().label("predicted"), *columns)
    return found.group_by(c.level, c.step).order_by(c.level, c.step.desc())


def _by_votes(rows: Subquery) -> Select[Any]:
    """Labelled and right images by level, number of views that agree and step of their mean confidence, best first."""
    c = rows.c
    right = case((c.votes > 1, c.right_maj), else_=c.right_ns)
    found = select(c.level, func.sum(c.labelled).label("labelled"), func.sum(right).label("right"))
    by = (c.level, c.votes, c.mean_step)
    return found.group_by(*by).order_by(c.level, c.votes.desc(), c.mean_step.desc())


class Cut(NamedTuple):
    """Where a threshold falls: it accepts all steps above ``step``, and ``part`` labelled images of that step."""

    step: int
    part: int


def _cut(steps: list[dict[str, Any]], wanted: int) -> Cut:
    for step in steps:
        if wanted <= step["labelled"]:
            return Cut(step["step"], wanted)
        wanted -= step["labelled"]
    raise AssertionError("more images are accepted than there are")


def _parts(
    session: Session, rows: Subquery, cuts: dict[tuple[float, str], Cut]
) -> dict[tuple[float, str], Thresholding]:
    """Confidence thresholding within the steps that the thresholds fall into; of equal confidences the first image."""
    c = rows.c
    wanted = {(level, cut.step) for (level, _), cut in cuts.items() if cut.part}
    if not wanted:
        return {}
    rank = func.row_number().over(
        partition_by=(c.level, c.step), order_by=(c.labelled.desc(), c.confidence_ns.desc(), c.image_id)
    )
    inside = or_(*(and_(c.level == level, c.step == step) for level, step in wanted))
    ranked = select(rows, rank.label("rank")).where(inside).subquery("ranked").c
    found = {}
    for point, vote_right in (("accepted", ranked.right_maj), ("unanimous", ranked.unanimous * ranked.right_ns)):
        limits = [
            (and_(ranked.level == level, ranked.step == cut.step), cut.part)
            for (level, of), cut in cuts.items()
            if of == point
        ]
        counted = one(ranked.rank <= case(*limits, else_=0))
        sums = [func.sum(counted * ranked.right_ns), func.sum(counted * ranked.right_ns * vote_right)]
        for level, *right_and_both in session.execute(select(ranked.level, *sums).group_by(ranked.level)):
            found[level, point] = Thresholding(*right_and_both)
    return found


def _thresholding(steps: list[dict[str, Any]], cut: Cut, part: Thresholding, both: str) -> Thresholding:
    above = [step for step in steps if step["step"] > cut.step]
    return Thresholding(
        part.right + sum(step["right_ns"] for step in above), part.both + sum(step[both] for step in above)
    )


def _curve(steps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Running sums of (labelled, right), thinned to about evenly spaced points; the last is the total."""
    sums = list(accumulate(steps, lambda so_far, step: (so_far[0] + step[0], so_far[1] + step[1])))
    total = sums[-1][0]
    kept: dict[int, tuple[int, int]] = {}
    for point in sums:
        if point[0]:
            kept[point[0] * POINTS // total] = point  # a later point with the same key replaces the earlier one
    return list(kept.values())
