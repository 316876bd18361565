"""A manifest as a dataset source."""

from pathlib import PurePosixPath

from db.settings import Settings
from producer.labels import Labels
from producer.manifest import SUFFIXES, read_manifest
from producer.place import Place
from producer.sources import Contents, Found


class Manifest:
    """A .csv or .jsonl file with a row file_name,label per image; paths are relative to the file's folder."""

    name = "manifest"
    order = 10
    looks_like = "a .csv or .jsonl manifest"

    def recognises(self, place: Place) -> bool:
        """Whether the place's name ends in .csv or .jsonl."""
        return place.name.lower().endswith(SUFFIXES)

    def read(self, place: Place, labels: Labels | None, settings: Settings) -> Contents:
        """Lists the images that the manifest names, in its order. An image that is not there has no size.

        Raises:
            Unreadable: if there is no such file, or it cannot be read.
            WrongUse: naming the row that is not valid.
        """
        rows = read_manifest(place, labels)
        folder = place.parent
        return Contents(
            name=PurePosixPath(place.name).stem,
            root=folder.root(settings),
            images=map(Found, folder.files(row.path for row in rows), (row.label for row in rows)),
        )


MEMBER = Manifest()
