"""The spaces by name, made when they are asked for."""

from __future__ import annotations

from subriem.zoo.registry import Registry
from subriem.zoo.spaces.space import Space

_FAMILIES = ("contact", "planes", "carnot", "free", "motions", "rotations", "vehicles")

#: Every space by name; iterating over the names makes none.
spaces: Registry[Space] = Registry("space", "subriem.zoo.spaces", _FAMILIES)


def get(name: str) -> Space:
    """Return a space by its name.

    Raises
    ------
    ProblemError
        If there is none of this name.
    """
    return spaces.find(str(name))


def all_spaces() -> tuple[Space, ...]:
    """Return every space, made."""
    return tuple(spaces.values())
