"""The stored counts of a certified run, image by image and level by level, as SQL.

    counts (a row a part and label) --sum over parts--> labels --rank--> leaders: one row an image and level

Of the leaders, the selected label is the one that most of the first n0 copies have, the smaller one if several do
(as NumPy's argmax, which the reference implementation uses). The copies after them estimate its probability.
"""

from typing import Any

from sqlalchemy import ColumnElement, Subquery, case, func, literal, select
from sqlalchemy.orm import Session

from db.copies import parts_of
from db.errors import WrongUse
from db.runs import RunInfo
from db.stopping import decided
from db.tables import Count, Failure, Image, Job


def asked(run: RunInfo) -> int:
    """The number of copies n that estimate, as asked for when the run was submitted last."""
    return run.copies - selection(run)


def selection(run: RunInfo) -> int:
    """The number of copies n0 that select the label."""
    return run.recipe.selection or 0


def copies_of_all(session: Session, run: RunInfo) -> int:
    """The largest n of which every image has all copies, or its failure; 0 if some have none yet."""
    first = session.scalar(select(func.min(Job.copies_first)).where(Job.run_id == run.id, Job.done_at.is_(None)))
    return asked(run) if first is None else max(0, first - selection(run))


def ends(session: Session, run: RunInfo) -> list[int]:
    """The n at which the copies of this run can be counted, ascending: a part of the copies ends there.

    A run that stops early has its own n alone, at which each image's number of copies is its own.
    """
    if run.recipe.stopping:
        return [asked(run)]
    spans = select(Job.copies_first, Job.copies_last).where(Job.run_id == run.id).distinct()
    n0 = selection(run)
    starts = {part.first for first, last in session.execute(spans) for part in parts_of(n0, first, last)}
    return sorted({start - n0 for start in starts if start > n0} | {asked(run)})


def check_end(session: Session, run: RunInfo, n: int) -> None:
    """Checks that the run's copies can be counted up to this n.

    Raises:
        WrongUse: if the run has fewer copies, or a part of them would have to be divided, or its images stop early.
    """
    if run.recipe.stopping and n != asked(run):
        raise WrongUse(
            f"--n {n}: the images of run {run.id} stop early, at looks that were chosen for n = {asked(run)}; leave out --n"
        )
    if n > asked(run):
        raise WrongUse(
            f"--n {n}: run {run.id} has {asked(run)} copies that estimate; `smoothvote certify` with the same flags and "
            f"--n {n} computes those that are missing"
        )
    known = ends(session, run)
    if n not in known:
        below, above = max([end for end in known if end < n], default=None), min(end for end in known if end > n)
        near = f"{above}" if below is None else f"{below} or {above}"
        raise WrongUse(
            f"--n {n}: the copies of run {run.id} are counted in parts, none of which ends there; give {near}"
        )


def leaders(run: RunInfo, n: int, *, span: tuple[int, int] | None = None) -> Subquery:
    """One row for each image and level that has all n0 copies and the first n that estimate.

    In a run that stops early, these are the images that are decided at the level, each with its own n.

    Columns: image_id, level, n; label, the selected one, and hits, how many of the n copies have it; selected, how many
    of the n0 have it; first_label, first and second: the label that most of the n copies have, and how many have it and
    the second most frequent label. Failed images are left out.

    Args:
        run: a run of certificates.
        n: a number of copies at which a part ends; of a run that stops early, its own.
        span: positions of the first and last image; None for all.
    """
    n0 = selection(run)
    selects = Count.part < n0
    failed = select(Failure.image_id).where(Failure.run_id == run.id)
    counted = [Count.run_id == run.id, Count.image_id.not_in(failed)]
    images = None
    if span is not None:
        images = select(Image.id).where(Image.dataset_id == run.dataset_id, Image.position.between(*span))
        counted.append(Count.image_id.in_(images))
    estimating: ColumnElement[int] = literal(n)
    if run.recipe.stopping:
        stop = decided(run.id, run.recipe, images)
        counted += [Count.image_id == stop.c.image_id, Count.level == stop.c.level, Count.part < n0 + stop.c.n]
        estimating = func.max(stop.c.n)
    else:
        counted.append(Count.part < n0 + n)
    labels = (
        select(
            Count.image_id,
            Count.level,
            Count.label,
            func.sum(case((selects, Count.n), else_=0)).label("selected"),
            func.sum(case((selects, 0), else_=Count.n)).label("estimated"),
            estimating.label("of"),
        )
        .where(*counted)
        .group_by(Count.image_id, Count.level, Count.label)
    )
    return _ranked(labels.subquery("labels"), n0)


def _ranked(labels: Subquery, n0: int) -> Subquery:
    """The leaders, from the sums over parts of each label, and how many copies estimate: ``of``."""
    c = labels.c

    def rank(number: Any) -> Any:
        return func.row_number().over(partition_by=(c.image_id, c.level), order_by=(number.desc(), c.label))

    ranked = select(*c, rank(c.selected).label("by_selected"), rank(c.estimated).label("by_estimated")).subquery(
        "ranked"
    )
    r = ranked.c

    def of(place: Any, number: int, value: Any) -> Any:
        return func.max(case((place == number, value)))

    return (
        select(
            r.image_id,
            r.level,
            func.max(r.of).label("n"),
            of(r.by_selected, 1, r.label).label("label"),
            of(r.by_selected, 1, r.selected).label("selected"),
            of(r.by_selected, 1, r.estimated).label("hits"),
            of(r.by_estimated, 1, r.label).label("first_label"),
            of(r.by_estimated, 1, r.estimated).label("first"),
            func.coalesce(of(r.by_estimated, 2, r.estimated), 0).label("second"),
        )
        .group_by(r.image_id, r.level)
        .having(func.sum(r.selected) == n0, func.sum(r.estimated) == func.max(r.of))
        .subquery("leaders")
    )
