"""The images behind a number: of one level, by what the views and the vote made of them, a page at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import ColumnElement, Row, Select, and_, func, not_, select
from sqlalchemy.orm import Session

from db.runs import RunInfo
from db.tables import SKIPPED, Failure, Image, Prediction

#: Images on a page.
PAGE = 48

_P, _LABEL = Prediction, Image.label
_AGREE = and_(_P.label_ns == _P.label_ss, _P.label_ns == _P.label_ds)
#: The vote is right; a reject is not.
_RIGHT = and_(_P.label_maj.is_not(None), _P.label_maj == _LABEL)


class Selection(NamedTuple):
    """Predictions that a number counts: in words, and in SQL."""

    words: str
    condition: ColumnElement[bool]


#: What the gallery can be asked for, as it stands in its URL; each is the numerator of a rate, or the rest of one.
SELECTIONS: Mapping[str, Selection] = MappingProxyType(
    {
        "right": Selection("vote right", _RIGHT),
        "wrong": Selection("vote wrong", and_(_P.label_maj.is_not(None), _P.label_maj != _LABEL)),
        "rejected": Selection("rejected", _P.label_maj.is_(None)),
        "accepted": Selection("accepted", _P.label_maj.is_not(None)),
        "unlabelled": Selection("accepted, unlabelled", and_(_P.label_maj.is_not(None), _LABEL.is_(None))),
        "saved": Selection("saved: ns wrong, vote right", and_(_P.label_ns != _LABEL, _RIGHT)),
        "lost": Selection(
            "lost: ns right, vote wrong or rejecting",
            and_(_P.label_ns == _LABEL, func.coalesce(_P.label_maj != _LABEL, True)),
        ),
        "ns_right": Selection("ns right", _P.label_ns == _LABEL),
        "ss_right": Selection("ss right", _P.label_ss == _LABEL),
        "ds_right": Selection("ds right", _P.label_ds == _LABEL),
        "unanimous": Selection("all views agree", _AGREE),
        "split": Selection("two views agree, one does not", and_(_P.label_maj.is_not(None), not_(_AGREE))),
        "agree_ss": Selection("ss says what ns says", _P.label_ns == _P.label_ss),
        "agree_ds": Selection("ds says what ns says", _P.label_ns == _P.label_ds),
    }
)

#: Images without a prediction, at any level.
FAILURES = MappingProxyType({"failed": "failed", "skipped": "skipped"})

#: Where the images behind each rate of the report are.
BEHIND = MappingProxyType(
    {
        "acc_ns": "ns_right",
        "acc_ss": "ss_right",
        "acc_ds": "ds_right",
        "acc_maj": "right",
        "acc_maj_overall": "right",
        "reject_rate": "rejected",
        "coverage": "accepted",
        "unanimous_rate": "unanimous",
        "agree_ss": "agree_ss",
        "agree_ds": "agree_ds",
    }
)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One image of the gallery: what was found for it at one level, or why there is nothing."""

    image_id: int
    path: str
    label: int | None
    found: Prediction | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a page of the gallery is to show."""

    #: Of predictions; None where failures are asked for.
    level: float | None
    #: One of SELECTIONS or FAILURES; None is every prediction.
    outcome: str | None = None
    #: Index of the true class.
    label: int | None = None
    #: Index of the class that the vote said.
    voted: int | None = None
    #: Of a failure.
    code: str | None = None


def tiles(session: Session, run: RunInfo, wanted: Wanted, *, after: int = 0, limit: int = PAGE) -> list[Tile]:
    """The first images with a higher id than `after`, in the dataset's order."""
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
    if wanted.outcome == "skipped":
        rows = rows.where(Failure.code.in_(SKIPPED))
    elif wanted.outcome == "failed":
        rows = rows.where(Failure.code.not_in(SKIPPED))
    if wanted.code is not None:
        rows = rows.where(Failure.code == wanted.code)
    if wanted.label is not None:
        rows = rows.where(Image.label == wanted.label)
    return rows


def failure_codes(session: Session, run: RunInfo) -> list[Row[str, int]]:
    """(code, images), the most frequent first."""
    rows = select(Failure.code, func.count()).where(Failure.run_id == run.id).group_by(Failure.code)
    return list(session.execute(rows.order_by(func.count().desc(), Failure.code)))
