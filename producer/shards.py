"""Shards as dataset sources: what the kinds of files that hold many images have in common."""

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import PurePosixPath
from typing import ClassVar

from db.errors import WrongUse
from db.settings import Settings, is_http
from db.shards import Member, shards_root
from producer.labels import Labels
from producer.place import File, Place
from producer.sources import SOURCES, Contents, Found
from producer.unreadable import Unreadable

#: Shards behind a URL that are listed at a time.
AT_ONCE = 8


class Shards(ABC):
    """A kind of files that hold many images each: a place is one such file, or a pattern with ``*`` that names some.

    A folder of them is read by the source ``folder``, which hands them over to ``contents``.
    """

    name: ClassVar[str]
    order: ClassVar[int] = 5
    looks_like: ClassVar[str]
    #: How the files' names end, in lower case.
    suffix: ClassVar[str]

    @abstractmethod
    def members(self, folder: Place, file: File, labels: Labels | None) -> Iterator[tuple[Member, int | None]]:
        """The images of a shard in its order, each with its label or None. Threads list several shards at once.

        Args:
            folder: the dataset's.
            file: the shard.
            labels: the model's classes; None leaves the labels unread.

        Raises:
            WrongUse: naming the shard, if it is damaged, or a label is not a class of the model.
        """

    def recognises(self, place: Place) -> bool:
        """Whether the place's name ends as these files' names do."""
        return place.name.lower().endswith(self.suffix)

    def read(self, place: Place, labels: Labels | None, settings: Settings) -> Contents:
        """Lists the images of one shard, or of all whose paths match a pattern, sorted by path.

        Raises:
            Unreadable: if there is no such file.
            WrongUse: if a shard is damaged, holds no image, or has a label that is not a class of the model.
        """
        self._check(place)
        folder, pattern = _split(place)
        paths = folder.match(pattern, settings) if _is_pattern(pattern) else [pattern]
        if not paths:
            raise Unreadable(f"{place.shown}: no file matches")
        files = list(folder.files(paths))
        if missing := next((file for file in files if file.size is None), None):
            raise Unreadable(f"{place.shown}: no such file: {missing.path}")
        stem = re.sub(r"\W*[*?]+", "", PurePosixPath(place.name).stem)
        return self.contents(folder, files, labels, settings, name=stem or folder.name)

    def contents(
        self, folder: Place, files: Sequence[File], labels: Labels | None, settings: Settings, *, name: str
    ) -> Contents:
        """What these shards of a folder hold, in their order.

        Raises:
            WrongUse: as ``read``; or if the folder is behind http.
        """
        self._check(folder)
        root = shards_root(folder.root(settings))
        return Contents(name=name, root=root, images=self._found(folder, files, labels))

    def _check(self, place: Place) -> None:
        if place.url and is_http(place.url):
            # A server may answer with the whole file where a part of it was asked for.
            raise WrongUse(f"{place.shown}: {self.suffix} files are not read over http: copy them, or use a store")

    def _found(self, folder: Place, files: Sequence[File], labels: Labels | None) -> Iterator[Found]:
        def of_shard(file: File) -> Iterator[Found]:
            for member, label in self.members(folder, file, labels):
                yield Found(File(member.path, file.size, file.version), label)

        empty = True
        for found in _listed(of_shard, files, ahead=AT_ONCE if folder.url else 0):
            empty = False
            yield found
        if empty:
            raise WrongUse(f"{folder.shown}: no images in its {self.suffix} files")


def shards_by_suffix() -> dict[str, Shards]:
    """The sources that read shards, by how the names of their files end."""
    return {source.suffix: source for source in SOURCES.values() if isinstance(source, Shards)}


def label_of_name(name: str, labels: Labels, where: str) -> int | None:
    """The class that the name of an image says, as in a flat folder; None if it says none.

    Raises:
        WrongUse: if it is no class of the model; the message begins with ``where``.
    """
    try:
        return labels.by_file(PurePosixPath(name).stem)
    except KeyError as error:
        raise WrongUse(
            f"{where}: its name begins with {error}, which is no class of the model; --labels none measures without"
        ) from None


def check_one_set(place: Place, files: Iterable[File]) -> None:
    """Checks that a folder's shards are one set, by names that differ in their numbers alone: not train and val.

    Raises:
        WrongUse: naming the sets, each by a pattern that can be given in place of the folder.
    """
    names = (PurePosixPath(file.path) for file in files)
    sets = sorted({str(name.with_name(re.sub(r"\d+", "*", name.name))) for name in names})
    if len(sets) > 1:
        others = f" (and {len(sets) - 3} more)" if len(sets) > 3 else ""
        raise WrongUse(
            f"{place.shown}: its files are several sets: {', '.join(sets[:3])}{others}; "
            f"name one: '{place.shown.rstrip('/')}/{sets[0]}'"
        )


def _split(place: Place) -> tuple[Place, str]:
    """The folder of a file, or the one above the first part of a path with ``*``; and the rest of the path."""
    folder, rest = place.parent, place.name
    while _is_pattern(folder.url or str(folder.folder)):
        folder, rest = folder.parent, f"{folder.name}/{rest}"
    return folder, rest


def _is_pattern(path: str) -> bool:
    # Not by brackets: a file's name may have some.
    return "*" in path or "?" in path


def _listed(of_shard: Callable[[File], Iterator[Found]], files: Sequence[File], *, ahead: int) -> Iterator[Found]:
    """The images of all shards in order. Behind a URL the next shards are listed while one is handed on."""
    if not ahead:
        for file in files:
            yield from of_shard(file)
        return
    left = iter(files)
    with ThreadPoolExecutor(ahead) as threads:
        try:
            begun: deque[Future[list[Found]]] = deque()
            begun.extend(threads.submit(lambda one: list(of_shard(one)), file) for file in islice(left, ahead))
            while begun:
                yield from begun.popleft().result()
                begun.extend(threads.submit(lambda one: list(of_shard(one)), file) for file in islice(left, 1))
        finally:
            threads.shutdown(cancel_futures=True)
