"""What two certified runs found for each image and level, read side by side: what a comparison counts."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from db.runs import RunInfo
from db.tables import Image
from report.certificate import certified_radius
from report.certified import Bounds
from report.counts import leaders


class Pair(NamedTuple):
    """What both runs found for so many images at a level, all alike."""

    labelled: bool
    #: The certified radius where the label is the true one; None if it is not, or the run abstains.
    first: float | None
    second: float | None
    first_abstains: bool
    second_abstains: bool
    images: int


def pairs_of(session: Session, first: RunInfo, second: RunInfo, bounds: Sequence[Bounds]) -> dict[float, list[Pair]]:
    """What both runs found at each level. The database counts images that are alike, so that few rows are read."""
    one, two = leaders(first, bounds[0].n).alias("one"), leaders(second, bounds[1].n).alias("two")
    true = Image.label
    columns = [
        one.c.level,
        true.is_not(None).label("labelled"),
        one.c.n.label("first_n"),
        two.c.n.label("second_n"),
        one.c.hits.label("first_hits"),
        two.c.hits.label("second_hits"),
        (one.c.label == true).label("first_right"),
        (two.c.label == true).label("second_right"),
    ]
    alike = (
        select(*columns, func.count().label("images"))
        .join_from(one, two, and_(one.c.image_id == two.c.image_id, one.c.level == two.c.level))
        .join(Image, Image.id == one.c.image_id)
        .group_by(*columns)
    )
    pairs: dict[float, list[Pair]] = {}
    for row in session.execute(alike):
        counted = ((row.first_hits, row.first_n), (row.second_hits, row.second_n))
        radii = [certified_radius(hits, n, row.level, of.alpha) for (hits, n), of in zip(counted, bounds, strict=True)]
        pair = Pair(
            labelled=bool(row.labelled),
            first=radii[0] if row.first_right else None,
            second=radii[1] if row.second_right else None,
            first_abstains=radii[0] is None,
            second_abstains=radii[1] is None,
            images=row.images,
        )
        pairs.setdefault(row.level, []).append(pair)
    return pairs


def predicted_by(session: Session, run: RunInfo, n: int) -> dict[float, int]:
    """How many images have an answer at each level."""
    found = leaders(run, n)
    counts = select(found.c.level, func.count().label("images")).group_by(found.c.level)
    return {row.level: row.images for row in session.execute(counts)}
