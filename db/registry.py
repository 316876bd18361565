"""A registry: finds the members of a family, one a file of its folder, by their names. A new member is one new file."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from db.errors import WrongUse


class Named(Protocol):
    """A member of a family."""

    #: What a person calls it.
    name: str


Member = TypeVar("Member", bound=Named)


class Family(Mapping[str, Member], Generic[Member]):
    """The members of a package: each of its modules holds one, as ``MEMBER``.

    Nothing is imported before a member is asked for.

    Args:
        package: the folder's import name, as ``worker.perturbations``.
        noun: what one member is called in a message, as ``perturbation``.
    """

    def __init__(self, package: str, noun: str) -> None:
        self._package, self.noun = package, noun

    def find(self, name: str) -> Member:
        """The member of this name.

        Raises:
            WrongUse: naming those that there are.
        """
        found = _members(self._package).get(name)
        if found is None:
            raise WrongUse(f"there is no {self.noun} {name!r}; there are {', '.join(self)}")
        member: Member = found
        return member

    def __getitem__(self, name: str) -> Member:
        member: Member = _members(self._package)[name]
        return member

    def __iter__(self) -> Iterator[str]:
        return iter(_members(self._package))

    def __len__(self) -> int:
        return len(_members(self._package))


@cache
def _members(package: str) -> Mapping[str, Any]:
    """By name, in alphabetical order of their files."""
    folder = importlib.import_module(package)
    modules = [importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(folder.__path__)]
    members = [module.MEMBER for module in modules if hasattr(module, "MEMBER")]
    return {member.name: member for member in members}
