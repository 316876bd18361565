"""A folder of images as a dataset source."""

from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

from db.errors import WrongUse
from db.settings import Settings
from producer.labels import Labels
from producer.place import Place
from producer.shards import check_one_set, shards_by_suffix
from producer.sources import Contents, Found

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

#: Gives the class of the image at a path, as the index of the model's output; None if it has no label.
LabelOf = Callable[[str], int | None]


class Folder:
    """A folder and all folders below it, of images (labels from class folders or ImageNet file names) or of shards."""

    name = "folder"
    order = 100
    looks_like = "a folder of images"

    def recognises(self, place: Place) -> bool:
        """True: what no other source recognises is taken for a folder."""
        return True

    def read(self, place: Place, labels: Labels | None, settings: Settings) -> Contents:
        """Lists every image below the folder, sorted by path; or, if there is none, those in its shards.

        Raises:
            Unreadable: if there is no such folder, or it cannot be read.
            WrongUse: if there is no image in it, or a folder or file name is not a class of the model; or if its
                shards are several sets.
        """
        files, passed_over = place.find(SUFFIXES, settings)
        if not files:
            return _shards(place, labels, settings)
        label_of = label_by_layout(place.shown, (file.path for file in files), labels) if labels else no_label
        images = (Found(file, label_of(file.path)) for file in files)
        return Contents(name=place.name, root=place.root(settings), images=images, passed_over=passed_over)


MEMBER = Folder()


def _shards(place: Place, labels: Labels | None, settings: Settings) -> Contents:
    sources = shards_by_suffix()
    found, passed_over = place.find(sources, settings)
    if not found:
        kinds = " ".join(sorted(SUFFIXES | sources.keys()))
        raise WrongUse(f"{place.shown}: no images in it (looked for {kinds}, in all folders below)")
    files = list(found)
    check_one_set(place, files)
    source = sources[PurePosixPath(files[0].path).suffix.lower()]
    contents = source.contents(place, files, labels, settings, name=place.name)
    contents.passed_over = passed_over
    return contents


def no_label(path: str) -> None:
    """The label of an image whose label is not read."""
    return


def label_by_layout(location: str, paths: Iterable[str], labels: Labels) -> LabelOf:
    """Labels images by the names of their folders, and those that are in no folder by their own names.

    Raises:
        WrongUse: if the names of the folders are not all classes of the model.
    """
    folders = {path.rpartition("/")[0] for path in paths} - {""}
    depth, classes = class_folders(location, folders, labels) if folders else (0, {})

    def label_of(path: str) -> int | None:
        if "/" in path:
            return classes[path.split("/")[depth]]
        try:
            return labels.by_file(PurePosixPath(path).stem)
        except KeyError as error:
            raise WrongUse(
                f"{location}: {path} begins with {error}, which is no class of the model; "
                "--labels none measures without labels"
            ) from None

    return label_of


def class_folders(location: str, folders: Collection[str], labels: Labels) -> tuple[int, dict[str, int | None]]:
    """Finds which folders are the classes.

    Args:
        location: the dataset's folder, for messages.
        folders: all folders that images are in, such as ``val/tench``.
        labels: the model's classes.

    Returns:
        The position of the class folder in each path, and the class of each name there. All folders at this position
        name classes, and all in the same way: by wnid, by name or by index.

    Raises:
        WrongUse: naming a folder that is no class of the model.
    """
    parts = [folder.split("/") for folder in folders]
    names = [sorted({some[depth] for some in parts}) for depth in range(min(map(len, parts)))]
    for find in labels.ways:
        for depth, some in enumerate(names):
            classes = {name: find(name) for name in some}
            if None not in classes.values():
                return depth, classes
    remedy = "--labels FILE gives labels, --labels none measures without, --classes FILE names the model's classes"
    # The message names a folder at the depth where the largest share of the names are classes.
    meant = max(names, key=lambda some: sum(labels.find(name) is not None for name in some) / len(some))
    strange = [name for name in meant if labels.find(name) is None]
    if not strange:
        raise WrongUse(
            f"{location}: its folders name classes in several ways (wnid, name, index): use one; or {remedy}"
        )
    raise WrongUse(f"{location}: folder {strange[0]!r} is no class of the model (by wnid, name or index); {remedy}")
