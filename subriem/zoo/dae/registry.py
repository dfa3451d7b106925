"""The problems by name, made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module

from subriem.core.errors import ProblemError
from subriem.zoo.dae.problem import Problem

_FAMILIES = (
    "mechanics",
    "spheres",
    "nonholonomic",
    "circuits",
    "chemistry",
    "academic",
    "linear",
    "redundant",
    "underdetermined",
)


class Problems(Mapping[str, Problem]):
    """Name -> problem. Each family of problems is a module with a mapping MAKERS of names to functions."""

    def __init__(self) -> None:
        self._made: dict[str, Problem] = {}

    @cached_property
    def _makers(self) -> dict[str, Callable[[], Problem]]:
        found: dict[str, Callable[[], Problem]] = {}
        for family in _FAMILIES:
            found |= import_module(f"subriem.zoo.dae.{family}").MAKERS
        return found

    def __getitem__(self, name: str) -> Problem:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


#: Every problem by name; iterating over the names makes none.
problems = Problems()


def get(name: str) -> Problem:
    """Return a problem by its name.

    Raises
    ------
    ProblemError
        If there is none of this name.
    """
    try:
        return problems[name]
    except KeyError as error:
        near = get_close_matches(name, problems, n=3) if isinstance(name, str) else []
        raise ProblemError(
            "there is no DAE of this name",
            repr(name),
            f"one of {', '.join(problems)}",
            " or ".join(near) or "look at the list",
        ) from error


def all_problems() -> tuple[Problem, ...]:
    """Return every problem, made."""
    return tuple(problems.values())
