"""The problems by name, made when they are asked for."""

from __future__ import annotations

from subriem.zoo.critical.case import Case
from subriem.zoo.registry import Registry

_FAMILIES = ("symmetric", "matrices", "nonholonomic", "networks", "degenerate")

#: Every problem by name; iterating over the names makes none.
cases: Registry[Case] = Registry("problem of rest points", "subriem.zoo.critical", _FAMILIES)


def get(name: str) -> Case:
    """Return a problem by its name.

    Raises
    ------
    ProblemError
        If there is none of this name.
    """
    return cases.find(name)


def all_cases() -> tuple[Case, ...]:
    """Return every problem, made."""
    return tuple(cases.values())
