"""The images that a number of the report counts, one page at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, func, not_, select
from sqlalchemy.orm import Session

from db.found import WITHOUT_PREDICTION
from db.outcome import Judged, without_prediction
from db.runs import RunInfo
from db.tables import Failure, Image, Prediction

#: Images on a page.
PAGE = 48


class Selection(NamedTuple):
    """A selection of predictions, in words and as a condition in SQL."""

    words: str
    condition: ColumnElement[bool]


_JUDGED = Judged()

#: The selections of the gallery, by their word in its address. Each is the numerator of a rate, or the rest of one.
SELECTIONS: Mapping[str, Selection] = MappingProxyType(
    {
        "right": Selection("vote right", _JUDGED.right),
        "wrong": Selection("vote wrong", _JUDGED.wrong),
        "rejected": Selection("rejected", _JUDGED.rejected),
        "accepted": Selection("accepted", _JUDGED.accepted),
        "unlabelled": Selection("accepted, without a label", _JUDGED.unlabelled),
        "saved": Selection("saved: ns wrong, vote right", _JUDGED.saved),
        "lost": Selection("lost: ns right, vote wrong or rejected", _JUDGED.lost),
        "ns_right": Selection("ns right", _JUDGED.ns == _JUDGED.label),
        "ss_right": Selection("ss right", _JUDGED.ss == _JUDGED.label),
        "ds_right": Selection("ds right", _JUDGED.ds == _JUDGED.label),
        "unanimous": Selection("all views agree", _JUDGED.unanimous),
        "split": Selection("two of three views agree", and_(_JUDGED.accepted, not_(_JUDGED.unanimous))),
        "agree_ss": Selection("ss agrees with ns", _JUDGED.ns == _JUDGED.ss),
        "agree_ds": Selection("ds agrees with ns", _JUDGED.ns == _JUDGED.ds),
    }
)

#: Images without a prediction at any level.
FAILURES = MappingProxyType({name: name for name in WITHOUT_PREDICTION})

#: The selection that each rate of the report counts.
BEHIND = MappingProxyType(
    {
        "acc_ns": "ns_right",
        "acc_ss": "ss_right",
        "acc_ds": "ds_right",
        "acc_maj": "right",
        "acc_maj_overall": "right",
        "reject_rate": "rejected",
        "attack_success": "wrong",
        "coverage": "accepted",
        "unanimous_rate": "unanimous",
        "agree_ss": "agree_ss",
        "agree_ds": "agree_ds",
    }
)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One image of the gallery, with its prediction at one level or its failure."""

    image_id: int
    path: str
    label: int | None
    found: Prediction | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which images a page of the gallery shows."""

    #: The level of predictions; None for failures.
    level: float | None
    #: One of SELECTIONS or FAILURES; None for every prediction.
    outcome: str | None = None
    #: Index of the true class.
    label: int | None = None
    #: Index of the class that the vote gave.
    voted: int | None = None
    #: The code of failures.
    code: str | None = None


def tiles(session: Session, run: RunInfo, wanted: Wanted, *, after: int = 0, limit: int = PAGE) -> list[Tile]:
    """The first images whose id is higher than `after`, in the dataset's order."""
    if wanted.outcome in FAILURES or wanted.code:
        rows = session.execute(_failures(run, wanted).where(Failure.image_id > after).limit(limit))
        return [
            Tile(image_id=row.Image.id, path=row.Image.path, label=row.Image.label, failure=row.Failure) for row in rows
        ]
    rows = session.execute(_predictions(run, wanted).where(Prediction.image_id > after).limit(limit))
    return [
        Tile(image_id=row.Image.id, path=row.Image.path, label=row.Image.label, found=row.Prediction) for row in rows
    ]


def _predictions(run: RunInfo, wanted: Wanted) -> Select[Prediction, Image]:
    rows = (
        select(Prediction, Image)
        .join(Image, Image.id == Prediction.image_id)
        .where(Prediction.run_id == run.id, Prediction.level == wanted.level)
        .order_by(Prediction.image_id)
    )
    if wanted.outcome is not None:
        rows = rows.where(SELECTIONS[wanted.outcome].condition)
    if wanted.label is not None:
        rows = rows.where(Image.label == wanted.label)
    if wanted.voted is not None:
        rows = rows.where(Prediction.label_maj == wanted.voted)
    return rows


def _failures(run: RunInfo, wanted: Wanted) -> Select[Failure, Image]:
    rows = (
        select(Failure, Image)
        .join(Image, Image.id == Failure.image_id)
        .where(Failure.run_id == run.id)
        .order_by(Failure.image_id)
    )
    if wanted.outcome is not None:
        rows = rows.where(without_prediction() == wanted.outcome)
    if wanted.code is not None:
        rows = rows.where(Failure.code == wanted.code)
    if wanted.label is not None:
        rows = rows.where(Image.label == wanted.label)
    return rows


def failure_codes(session: Session, run: RunInfo) -> list[Row[str, int]]:
    """Failure codes with their number of images, the most frequent first."""
    rows = select(Failure.code, func.count()).where(Failure.run_id == run.id).group_by(Failure.code)
    return list(session.execute(rows.order_by(func.count().desc(), Failure.code)))
