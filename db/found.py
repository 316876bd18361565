"""What a job finds, to be stored: the predictions of a vote, the counts of a certificate, and failures.

The names of outcomes are here, and db/outcome.py says in SQL what they mean: a command line lists them in its help
before it imports SQLAlchemy.
"""

from dataclasses import dataclass
from typing import NamedTuple

#: The outcomes of an image at a level. An image whose outcome is one of the last two has no prediction.
OUTCOMES = ("right", "wrong", "rejected", "unlabelled", "failed", "skipped")
#: The outcomes of an image that has a failure instead of predictions.
WITHOUT_PREDICTION = ("failed", "skipped")
#: How the vote compares with the unsmoothed view ns. Saved: ns is wrong and the vote is right. Lost: ns is right, and
#: the vote is wrong or rejects.
CHANGES = ("saved", "lost")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """The result for one image at one level: each view's top label with its softmax probability, and the vote."""

    image_id: int
    level: float
    label_ns: int
    confidence_ns: float
    label_ss: int
    confidence_ss: float
    label_ds: int
    confidence_ds: float
    #: None is a rejected vote.
    label_maj: int | None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The result for one label of one part of an image's copies at one level: how many of these copies got it."""

    image_id: int
    level: float
    #: Number of the part's first copy (db/copies.py).
    part: int
    label: int
    #: At least 1.
    n: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """Why one image could not be used: a code, and a message for people."""

    image_id: int
    code: str
    message: str


class Computer(NamedTuple):
    """What computed results."""

    #: ``cpu``, or the name of a GPU: a number says nothing to another machine.
    device: str
    #: The engines that answered, the fastest first.
    engine: str


class Found(NamedTuple):
    """The results for some images, to be stored: a vote predicts, a certificate counts."""

    predicted: list[Predicted]
    failed: list[Failed]
    counted: list[Counted]
    computer: Computer | None = None

    @property
    def image_ids(self) -> set[int]:
        """The images with a result."""
        rows: list[Predicted | Failed | Counted] = [*self.predicted, *self.failed, *self.counted]
        return {row.image_id for row in rows}

    def plus(self, more: "Found") -> "Found":
        """These results and more of the same job. The lists of these grow."""
        self.predicted.extend(more.predicted)
        self.failed.extend(more.failed)
        self.counted.extend(more.counted)
        return self._replace(computer=more.computer or self.computer)
