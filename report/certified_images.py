"""The images behind the numbers of a certified run: each with its label and radius at each σ, or why it has none."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from db.errors import WrongUse
from db.runs import RunInfo
from report.certified_rows import COLUMNS, OUTCOMES, certificate_pages
from report.exports import Page

#: The columns of a list of certified images.
LISTED = (
    "path", "level", "sigma", "outcome", "label", "certified_label", "radius", "p_lower", "selected", "hits", "n",
    "predict_label", "code", "message",
)  # fmt: skip
#: Their types.
TYPES = {name: COLUMNS[name] for name in LISTED}


def certified_images(
    session: Session,
    run: RunInfo,
    *,
    alpha: float | None = None,
    n: int | None = None,
    level: float | None = None,
    outcome: str | None = None,
    label: int | None = None,
    limit: int | None = None,
) -> Iterator[Page]:
    """The images of a certified run in the dataset's order, an image's levels ascending.

    Args:
        session: a reading one, open until the last page is taken.
        run: a run of certificates.
        alpha: the probability with which each certificate may be wrong; None: as in usual_alpha().
        n: how many of the stored copies estimate; None for all that were asked for.
        level: at this level only; an image that failed has no level.
        outcome: images of this outcome only, one of certified_rows.OUTCOMES.
        label: images of this true class only, by its index.
        limit: so many at most.

    Raises:
        WrongUse: for an outcome that certificates do not have, or for what certificate_pages() refuses.
    """
    if outcome is not None and outcome not in OUTCOMES:
        raise WrongUse(f"--outcome {outcome}: certificates have {', '.join(OUTCOMES)}")
    left = limit
    for page in certificate_pages(session, run, alpha=alpha, n=n, level=level, columns=LISTED):
        fits = [
            number
            for number, (found, true) in enumerate(zip(page["outcome"], page["label"], strict=True))
            if outcome in (None, found) and label in (None, true)
        ][:left]
        if fits:
            yield {name: [column[number] for number in fits] for name, column in page.items()}
        if left is not None:
            left -= len(fits)
            if left == 0:
                return
