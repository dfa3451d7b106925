"""Things with known answers by name, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from typing import Generic, TypeVar

from subriem.core.errors import ProblemError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Name -> thing; iterating over the names makes none.

    Parameters
    ----------
    kind : str
        What they are, for messages.
    package : str
    families : tuple of str
        Modules of the package, each with a mapping MAKERS of names to functions.
    """

    def __init__(self, kind: str, package: str, families: tuple[str, ...]) -> None:
        self.kind, self.package, self.families = kind, package, families
        self._made: dict[str, T] = {}

    @cached_property
    def _makers(self) -> dict[str, Callable[[], T]]:
        found: dict[str, Callable[[], T]] = {}
        for family in self.families:
            found |= import_module(f"{self.package}.{family}").MAKERS
        return found

    def __getitem__(self, name: str) -> T:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def find(self, name: str) -> T:
        """Return one by its name.

        Raises
        ------
        ProblemError
            If there is none of this name.
        """
        try:
            return self[name]
        except KeyError as error:
            near = get_close_matches(name, self, n=3) if isinstance(name, str) else []
            raise ProblemError(
                f"there is no {self.kind} of this name",
                repr(name),
                f"one of {', '.join(self)}",
                " or ".join(near) or "look at the list",
            ) from error
