"""A table of images in Parquet or Arrow: which of its columns holds the images, and what its labels mean.

The Hugging Face library ``datasets`` writes both. It keeps what the columns mean in the schema's metadata.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from db.errors import WrongUse, one_line
from producer.labels import Labels
from producer.shards import label_of_name

if TYPE_CHECKING:
    from pyarrow import DataType, Schema

REMEDY = "--labels FILE gives labels, --labels none measures without"


@contextmanager
def pyarrow_errors(where: str) -> Iterator[None]:
    """Turns what pyarrow says of a damaged file, and that it is not installed, into WrongUse.

    Args:
        where: the file, for messages.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise WrongUse(f"{where}: reading it needs pyarrow: pip install 'smoothvote[shards]'") from None
    try:
        yield
    except (pa.ArrowException, ValueError) as error:  # ValueError: a name that is no UTF-8, say
        raise WrongUse(f"{where}: damaged, or of another kind than its name says: {one_line(error)}") from None
    except OSError as error:
        # pyarrow's own errors of a damaged file have no number; those of the system and the network do.
        if type(error) is not OSError or error.errno is not None:
            raise
        raise WrongUse(f"{where}: damaged, or of another kind than its name says: {one_line(error)}") from None


@dataclass(frozen=True)
class Table:
    """What the columns of a table are."""

    #: The column of the images.
    image: str
    #: Whether it has the images' names beside their bytes.
    named: bool
    #: The column of the labels; None if there is none.
    label: str | None
    #: The class of each number in the column of labels; None if the column names classes, or holds their indices.
    classes: Sequence[int | None] | None
    #: What the numbers stand for, for messages.
    names: Sequence[str]

    def label_of(self, value: Any, name: str, labels: Labels | None, where: str) -> int | None:
        """The class of an image, or None.

        Args:
            value: what the column of labels says; None or -1 if it does not know.
            name: the image's, which may say the class if there is no column of labels.
            labels: the model's classes; None leaves the labels unread.
            where: the row, for messages.

        Raises:
            WrongUse: if it is no class of the model.
        """
        if labels is None:
            return None
        if self.label is None:
            return label_of_name(name, labels, where)
        if value is None or value == -1:
            return None
        if self.classes is None:
            return labels.read(value, where)
        if not isinstance(value, int) or not 0 <= value < len(self.classes):
            raise WrongUse(f"{where}: label {value!r:.100} is none of its {len(self.classes)} classes; {REMEDY}")
        index = self.classes[value]
        if index is None:
            raise WrongUse(f"{where}: class {self.names[value]!r:.100} is no class of the model; {REMEDY}")
        return index


def table_of(schema: "Schema", labels: Labels | None, where: str) -> Table:
    """Finds the columns of images and labels.

    Args:
        schema: the table's.
        labels: the model's classes; None leaves the labels unread.
        where: the file, for messages.

    Raises:
        WrongUse: if there is no column of images, or several columns and none is called ``image`` or ``label``.
    """
    features = _features(schema)
    kinds = {name: feature.get("_type") for name, feature in features.items() if isinstance(feature, dict)}
    image = _chosen("image", [field.name for field in schema if _holds_bytes(field.type)], where)
    if image is None:
        raise WrongUse(f"{where}: no column of images in it, which are bytes, or a struct with a field `bytes`")
    named = _has_names(schema.field(image).type)
    if labels is None:
        return Table(image, named, None, None, ())
    numbered = [name for name, kind in kinds.items() if kind == "ClassLabel" and name in schema.names]
    label = "label" if "label" in schema.names else _chosen("label", numbered, where)
    names = features[label].get("names") if label in numbered else None
    return Table(image, named, label, _classes(names, labels) if names else None, names or ())


def _chosen(wanted: str, columns: Sequence[str], where: str) -> str | None:
    """The column that is called as wanted, else the only one; None if there is none."""
    if wanted in columns:
        return wanted
    if len(columns) > 1:
        raise WrongUse(f"{where}: several columns of {wanted}s ({', '.join(columns)}): rename one to {wanted!r}")
    return columns[0] if columns else None


def _features(schema: "Schema") -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_binary(kind: "DataType") -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _has_names(kind: "DataType") -> bool:
    from pyarrow import types

    at = -1 if _is_binary(kind) else kind.get_field_index("path")
    return at >= 0 and bool(types.is_string(kind.field(at).type) or types.is_large_string(kind.field(at).type))


def _holds_bytes(kind: "DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and _is_binary(kind.field(at).type)
    return _is_binary(kind)


def _classes(names: Sequence[str], labels: Labels) -> list[int | None]:
    """The class of the model that each name stands for; None for a name that stands for none."""
    for way in labels.ways:
        found = [way(name) for name in names]
        if None not in found:
            return found
    found = [labels.find(name) for name in names]
    # ImageNet has two classes called "crane". Which is meant, the order says: if it is the model's everywhere else.
    if len(names) == labels.count and all(index in (None, number) for number, index in enumerate(found)):
        return list(range(labels.count)) if any(index is not None for index in found) else found
    return found
