"""The dataset sources: each file of this folder reads one kind of place, and is found by its name.

Adding a source is adding a file: a class with the attributes and methods of ``Source``, and an instance of it that is
called ``MEMBER``. The first line of its docstring is what `smoothvote list` says about it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from db.registry import Family
from db.settings import Settings
from producer.labels import Labels
from producer.place import File, Place


class Found(NamedTuple):
    """An image that a source found."""

    file: File
    #: Its class, as the index of the model's output; None if it has no label.
    label: int | None


@dataclass(kw_only=True)
class Contents:
    """What a source found at a place."""

    name: str
    #: The folder or URL at which workers find the images: see ``Place.root``.
    root: str
    #: The images in the dataset's order, with their paths below the root. They can be iterated over once: a source
    #: that reads large files yields an image as it comes to it, and raises there what is wrong with it.
    images: Iterable[Found]
    #: How many files were passed over because their names are not those of images; known at the end of ``images``.
    passed_over: int = 0


class Source(Protocol):
    """A kind of place that a dataset is read from."""

    name: str
    #: Sources are tried from the lowest order to the highest; the first that recognises a place reads it.
    order: int
    #: What a person names, as messages say it: "a folder of images".
    looks_like: str

    def recognises(self, place: Place) -> bool:
        """Whether this source can read the place. Asked before the place is known to exist."""

    def read(self, place: Place, labels: Labels | None, settings: Settings) -> Contents:
        """Lists the images at a place, without decoding them.

        Args:
            place: a place that this source recognises.
            labels: the model's classes; None leaves the labels unread.
            settings: the URL schemes that are allowed, and the image root.

        Raises:
            Unreadable: if the place is not there or cannot be read.
            WrongUse: if there is no image, or a label is not a class of the model; both also as the images are
                iterated over.
        """


SOURCES: Family[Source] = Family("producer.sources", "dataset source")


def source_of(place: Place) -> Source:
    """The first source, by ``order``, that recognises a place. The last, the folder, recognises every place."""
    return next(source for source in sorted(SOURCES.values(), key=lambda one: one.order) if source.recognises(place))
