"""A dataset: images under one root, each with a path, and a label or none."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from json.encoder import encode_basestring_ascii as quoted
from typing import NamedTuple

from db.errors import WrongUse
from db.settings import Settings
from db.store import Entry
from producer.labels import Labels
from producer.manifest import HEADER, read_manifest
from producer.place import Place
from producer.progress import counted
from producer.rows import Rows
from producer.sources import SOURCES, Contents, Found, source_of
from producer.unreadable import Unreadable

#: `--labels none`: no label is read, whatever the names of folders and files or a manifest say.
NO_LABELS = "none"
#: Images whose labels are looked up at once.
LOOKED_UP = 1000


class Listed(NamedTuple):
    """An image of a dataset, with all that makes its fingerprint, in this order."""

    path: str
    size: int | None
    version: str | None
    label: int | None

    def as_json(self) -> str:
        """What the fingerprint is of: ``json.dumps(list(self))``, in a quarter of the time.

        It is part of every run's id: a byte more or less in here gives every recorded run another id.
        """
        size, label = ("null" if value is None else value for value in (self.size, self.label))
        version = "null" if self.version is None else quoted(self.version)
        return f"[{quoted(self.path)}, {size}, {version}, {label}]"


@dataclass(frozen=True)
class Spread:
    """So many of some images, spread evenly over them. They can be iterated over again and again."""

    images: Rows[Listed]
    count: int

    def __iter__(self) -> Iterator[Entry]:
        """As the record has them."""
        return (Entry(path=one.path, label=one.label, bytes=one.size) for one in self.chosen())

    def chosen(self) -> Iterator[Listed]:
        """As the source found them. Of ``found`` images the n-th that is chosen is number n * found // count."""
        found, count = len(self.images), self.count
        for number, image in enumerate(self.images):
            if -(-number * count // found) * found // count == number:
                yield image


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Images under one root."""

    name: str
    #: The folder or URL at which workers find the images; relative to SMOOTHVOTE_IMAGE_ROOT where that is set.
    root: str
    #: The images, in order; they wait on disk, and can be iterated over again and again.
    entries: Iterable[Entry] = field(compare=False)
    #: How many images there are, and how many there were before the limit.
    size: int
    found: int
    #: How many images have a label, and how many files are not there, with the path of one.
    labelled: int
    missing: int = 0
    one_missing: str | None = None
    #: sha256 over the path, size, version and label of every image. A changed image or label gives another dataset.
    fingerprint: str
    #: How many files were passed over because their names are not those of images.
    passed_over: int = 0


def read_dataset(
    location: str, *, labels: Labels, settings: Settings, labels_from: str | None = None, limit: int | None = None
) -> Dataset:
    """Reads the dataset at a folder, manifest or URL, by the first source that recognises it.

    Args:
        location: what the person named.
        labels: the model's classes.
        settings: the URL schemes that are allowed, and the image root.
        labels_from: a file of ``file_name,label`` whose labels replace the source's; or NO_LABELS.
        limit: at most so many images, spread evenly over the dataset, so that every class gets its share.

    Raises:
        WrongUse: if there is no image, or a label is not a class of the model.
    """
    place = Place.of(location, settings)
    try:
        contents = source_of(place).read(place, None if labels_from else labels, settings)
        if labels_from and labels_from != NO_LABELS:
            contents.images = _relabelled(contents.images, labels_from, labels, settings)
        return make_dataset(contents, limit=limit)
    except Unreadable as error:
        usual_first = sorted(SOURCES.values(), key=lambda source: -source.order)
        known = ", ".join(source.looks_like for source in usual_first)
        raise WrongUse(f"{error}; name {known}, or a URL of these") from None


def make_dataset(contents: Contents, *, limit: int | None = None) -> Dataset:
    """The dataset of what a source found.

    Args:
        contents: the images, in order.
        limit: at most so many of them, spread evenly.

    Raises:
        WrongUse: if the label of an image is not a class of the model.
    """
    images: Rows[Listed] = Rows(Listed, counted((Listed(*file, label) for file, label in contents.images), "read"))
    entries = Spread(images, min(limit or len(images), len(images)))
    digest, labelled, missing, one_missing = hashlib.sha256(), 0, 0, None
    for image in entries.chosen():
        digest.update(image.as_json().encode() + b"\n")
        labelled += image.label is not None
        if image.size is None:
            missing, one_missing = missing + 1, one_missing or image.path
    return Dataset(
        name=contents.name,
        root=contents.root,
        entries=entries,
        size=entries.count,
        found=len(images),
        labelled=labelled,
        missing=missing,
        one_missing=one_missing,
        fingerprint=digest.hexdigest(),
        passed_over=contents.passed_over,
    )


def _relabelled(images: Iterable[Found], location: str, labels: Labels, settings: Settings) -> Iterator[Found]:
    """Images with the labels of a file's rows: of that with the image's path, else of that with its file name."""
    file = Place.of(location, settings)
    try:
        rows = read_manifest(file, labels)
    except Unreadable as error:
        raise WrongUse(f"--labels {error}; name a .csv or .jsonl file of {HEADER}, or `none`") from None
    left, first, named = iter(images), "", False
    while some := list(islice(left, LOOKED_UP)):
        names = {image.path: image.path.rpartition("/")[2] for image, _ in some}
        found = {row.path: row.label for row in rows.find("path", [*{*names, *names.values()}])}
        for image, _ in some:
            yield Found(image, found.get(image.path, found.get(names[image.path])))
        first, named = first or some[0].file.path, named or bool(found)
    if not named:
        raise WrongUse(f"--labels {file.shown}: no row names an image of the dataset; {first} is one")
