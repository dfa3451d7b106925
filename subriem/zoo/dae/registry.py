"""The problems by name, made when they are asked for."""

from __future__ import annotations

from subriem.zoo.dae.problem import Problem
from subriem.zoo.registry import Registry

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

#: Every problem by name; iterating over the names makes none.
problems: Registry[Problem] = Registry("DAE", "subriem.zoo.dae", _FAMILIES)


def get(name: str) -> Problem:
    """Return a problem by its name.

    Raises
    ------
    ProblemError
        If there is none of this name.
    """
    return problems.find(name)


def all_problems() -> tuple[Problem, ...]:
    """Return every problem, made."""
    return tuple(problems.values())
