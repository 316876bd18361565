"""A registry finds the members of a family by name. Each member is one file of the family's folder: adding one is
adding a file.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from db.errors import WrongUse


class Named(Protocol):
    """A member of a family."""

    @property
    def name(self) -> str:
        """What people call it."""


Member = TypeVar("Member", bound=Named)


class Family(Mapping[str, Member], Generic[Member]):
    """The members of a package, by name: of every module that defines ``MEMBER``, or ``MEMBERS`` if they are alike.

    The modules are imported when the first member is asked for.

    Args:
        package: the folder as Python imports it, such as ``worker.perturbations``.
        noun: what messages call one member, such as ``perturbation``.
    """

    def __init__(self, package: str, noun: str) -> None:
        self._package, self.noun = package, noun

    def find(self, name: str) -> Member:
        """Returns the member of this name.

        Raises:
            WrongUse: if there is none; the message names those there are.
        """
        if name not in self:
            raise WrongUse(f"there is no {self.noun} {name!r}; there are: {', '.join(self)}")
        return self[name]

    def __getitem__(self, name: str) -> Member:
        member: Member = _members(self._package)[name]
        return member

    def __iter__(self) -> Iterator[str]:
        return iter(_members(self._package))

    def __len__(self) -> int:
        return len(_members(self._package))


@cache
def _members(package: str) -> Mapping[str, Any]:
    """The members by name, in the order of their files' names."""
    folder = importlib.import_module(package)
    names = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    modules = [importlib.import_module(f"{package}.{name}") for name in names]
    members: dict[str, Any] = {}
    for module in modules:
        for member in getattr(module, "MEMBERS", None) or filter(None, [getattr(module, "MEMBER", None)]):
            if member.name in members:
                raise ImportError(f"{module.__name__} and another file of {package} are both called {member.name!r}")
            members[member.name] = member
    return members
