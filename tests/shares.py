"""The jobs that copies of images are cut into, one by one, as the database makes them of ``steps_of``."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from db.copies import steps_of


class Share(NamedTuple):
    """A job's share of a run: images by position, and which copies of each; first and last included."""

    first: int
    last: int
    copies_first: int
    copies_last: int


def shares_of(images: int, **how: Any) -> Iterator[Share]:
    for copies, step in steps_of(**how):
        for start in range(0, images, step):
            yield Share(start, min(start + step, images) - 1, *copies)
