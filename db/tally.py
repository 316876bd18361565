"""Counts of a run's predictions, level by level: all that a report is made of.

They are counted in the database, never kept up by hand. Those of a complete run cannot change any more: they are
stored once, and a report over ten million predictions reads a few rows.

    predictions --(group by)--> tallies --(complete: stored)--> summaries --> report
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Integer, Select, Subquery, and_, case, func, or_, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from db.runs import RunInfo, find_run, progress
from db.session import reading, writing
from db.store import insert
from db.tables import Image, Job, Prediction, Run, Summary

#: Of what is stored. Another one is counted anew.
VERSION = 2

#: Confidences are sorted in so many steps, and those of the one step that a threshold falls into row by row.
STEPS = 1000
#: Most points that are kept of a curve.
POINTS = 100


class Thresholding(NamedTuple):
    """Accepting the most confident by ns, as many labelled images as the vote accepts."""

    #: How many of them are right.
    right: int
    #: How many of these the vote accepted, and got right, too.
    both: int


NOTHING = Thresholding(0, 0)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What was counted at one level. `right_…` and `both_…` are of labelled images."""

    predicted: int = 0
    labelled: int = 0
    #: Images of which two views agree, and of which all three do.
    accepted: int = 0
    accepted_labelled: int = 0
    unanimous: int = 0
    unanimous_labelled: int = 0
    #: Images of which ss, or ds, says what ns says.
    agree_ss: int = 0
    agree_ds: int = 0
    right_ns: int = 0
    right_ss: int = 0
    right_ds: int = 0
    #: A vote that rejects is not right.
    right_maj: int = 0
    right_unanimous: int = 0
    #: ns is right where the vote rejects.
    right_fallback: int = 0
    #: ns is right, and so is …
    both_ss: int = 0
    both_ds: int = 0
    both_maj: int = 0
    #: At the coverage of the vote, and of three views that agree.
    thresholding_majority: Thresholding = NOTHING
    thresholding_unanimous: Thresholding = NOTHING
    #: Labelled images accepted, and right, as the threshold falls: on the softmax probability of ns …
    curve_confidence: Sequence[tuple[int, int]] = ()
    #: … and on the votes for the label, then the mean softmax probability of the views that cast them.
    curve_vote: Sequence[tuple[int, int]] = ()


def tallies(session: Session, run: RunInfo, *, stored: bool = True) -> dict[float, Tally]:
    """The counts of each level that has predictions: as they are stored, else counted now."""
    if stored:
        rows = select(Summary.level, Summary.tally).where(Summary.run_id == run.id, Summary.version == VERSION)
        if found := {row.level: _from_json(row.tally) for row in session.execute(rows)}:
            return found
    return count(session, run)


def summarise(engine: Engine, run: RunInfo) -> None:
    """Stores the counts of a run that is complete, once; a record that takes no writing is read all the same."""
    with reading(engine) as session:
        kept = select(func.count()).where(Summary.run_id == run.id, Summary.version == VERSION)
        if session.scalars(kept).one() or not progress(session, run).complete:
            return
        counted = count(session, run)
    rows = [
        {"run_id": run.id, "level": level, "version": VERSION, "tally": asdict(tally)}
        for level, tally in counted.items()
    ]
    with suppress(DBAPIError), writing(engine) as session:
        add = insert(session, Summary)
        newer = {"version": add.excluded.version, "tally": add.excluded.tally}
        if rows:
            session.execute(add.on_conflict_do_update(index_elements=["run_id", "level"], set_=newer), rows)


def unsummarised(session: Session) -> list[RunInfo]:
    """Runs of which every job is done, and whose counts are not stored."""
    open_runs = select(Job.run_id).where(Job.done_at.is_(None))
    kept = select(Summary.run_id).where(Summary.version == VERSION)
    predicted = select(Prediction.run_id).where(Prediction.run_id == Run.id).exists()
    wanted = select(Run.id).where(Run.id.not_in(open_runs), Run.id.not_in(kept), predicted)
    return [find_run(session, run_id) for run_id in session.scalars(wanted)]


def count(session: Session, run: RunInfo) -> dict[float, Tally]:
    """The counts of each level that has predictions, from the rows."""
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
    return {
        level: Tally(
            **sums[level],
            thresholding_majority=_thresholding(
                found, cuts[level, "accepted"], parts.get((level, "accepted")), "both_maj"
            ),
            thresholding_unanimous=_thresholding(
                found, cuts[level, "unanimous"], parts.get((level, "unanimous")), "right_unanimous"
            ),
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
    """A row a prediction, with what is asked of it as 0 or 1."""
    ns, ss, ds, maj = Prediction.label_ns, Prediction.label_ss, Prediction.label_ds, Prediction.label_maj
    right = {view: _one(label == Image.label) for view, label in (("ns", ns), ("ss", ss), ("ds", ds), ("maj", maj))}
    all_agree = and_(ns == ss, ns == ds)
    confidence = (Prediction.confidence_ns, Prediction.confidence_ss, Prediction.confidence_ds)
    # Of the views that share the vote's label; of ns where there is none.
    mean = case(
        (all_agree, (confidence[0] + confidence[1] + confidence[2]) / 3),
        (ns == ss, (confidence[0] + confidence[1]) / 2),
        (ns == ds, (confidence[0] + confidence[2]) / 2),
        (ss == ds, (confidence[1] + confidence[2]) / 2),
        else_=confidence[0],
    )
    return (
        select(
            Prediction.image_id,
            Prediction.level,
            Prediction.confidence_ns,
            floor_of(Prediction.confidence_ns * STEPS).label("step"),
            floor_of(mean * STEPS).label("mean_step"),
            case((all_agree, 3), (maj.is_not(None), 2), else_=1).label("votes"),
            _one(Image.label.is_not(None)).label("labelled"),
            _one(maj.is_not(None)).label("accepted"),
            _one(all_agree).label("unanimous"),
            _one(ns == ss).label("agree_ss"),
            _one(ns == ds).label("agree_ds"),
            *(column.label(f"right_{view}") for view, column in right.items()),
        )
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id)
        .subquery("rows")
    )


def _one(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


def _by_confidence(rows: Subquery) -> Select[Any]:
    """Everything that is summed, by level and step of ns's confidence, the most confident first."""
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
    """Labelled and right by level, votes for the label and step of their mean confidence, the surest first."""
    c = rows.c
    right = case((c.votes > 1, c.right_maj), else_=c.right_ns)
    found = select(c.level, func.sum(c.labelled).label("labelled"), func.sum(right).label("right"))
    by = (c.level, c.votes, c.mean_step)
    return found.group_by(*by).order_by(c.level, c.votes.desc(), c.mean_step.desc())


class Cut(NamedTuple):
    """Where a threshold falls: every step above `step` is accepted, and so many labelled images of that step."""

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
    """What is right within the steps that the thresholds fall into: the most confident first, then the first image."""
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
        counted = _one(ranked.rank <= case(*limits, else_=0))
        sums = [func.sum(counted * ranked.right_ns), func.sum(counted * ranked.right_ns * vote_right)]
        for level, *right_and_both in session.execute(select(ranked.level, *sums).group_by(ranked.level)):
            found[level, point] = Thresholding(*right_and_both)
    return found


def _thresholding(steps: list[dict[str, Any]], cut: Cut, part: Thresholding | None, both: str) -> Thresholding:
    above = [step for step in steps if step["step"] > cut.step]
    right, shared = part or (0, 0)
    return Thresholding(right + sum(step["right_ns"] for step in above), shared + sum(step[both] for step in above))


def _curve(steps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Running sums of (labelled, right), thinned to points about evenly spaced in coverage; the last is all."""
    sums = list(accumulate(steps, lambda so_far, step: (so_far[0] + step[0], so_far[1] + step[1])))
    total = sums[-1][0]
    kept: dict[int, tuple[int, int]] = {}
    for point in sums:
        if point[0]:
            kept[point[0] * POINTS // total] = point  # the last of each
    return list(kept.values())


def _from_json(stored: dict[str, Any]) -> Tally:
    rivals = {name: Thresholding(*stored[name]) for name in ("thresholding_majority", "thresholding_unanimous")}
    curves = {name: [(n, right) for n, right in stored[name]] for name in ("curve_confidence", "curve_vote")}
    return Tally(**stored | rivals | curves)
