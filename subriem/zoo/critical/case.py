"""A problem whose rest points are known: components with dimension, index, nullity and Betti numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subriem.critical.equilibria import equilibria
from subriem.critical.equilibriumset import Component, EquilibriumSet


@dataclass(frozen=True, order=True)
class Expected:
    """What is known of a component.

    Attributes
    ----------
    dimension : int
    index : int or None
        Number of unstable directions; None where it changes along the component, or without a motion.
    betti : tuple of int, or None
        Over Z/2, of the part in the box; None where the component is not traced.
    verdict : str
        As of a `Component`.
    """

    dimension: int
    index: int | None
    betti: tuple[int, ...] | None
    verdict: str = "morse_bott"


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Case:
    """A problem with its rest points; made by the functions of this package.

    Attributes
    ----------
    name, title, source : str
        Where the problem and what is known of it come from.
    problem : object
        What `equilibria` takes.
    expected : tuple of Expected
        All components in the box.
    crossings : tuple of tuple of float
        Points where components meet or the rank changes.
    options : mapping
        Arguments for `equilibria`: box, starts.

    Examples
    --------
    >>> from subriem.zoo.critical import get
    >>> circle = get("circle")
    >>> circle.missing(circle.find()), circle.unexpected(circle.find())
    ([], [])
    """

    name: str
    title: str
    source: str
    problem: Any
    expected: tuple[Expected, ...]
    crossings: tuple[tuple[float, ...], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Case {self.name}: {self.title}>"

    def find(self, **options: Any) -> EquilibriumSet:
        """Return what `equilibria` finds; options replace those of the case."""
        return equilibria(self.problem, **{**self.options, **options})

    def missing(self, found: EquilibriumSet) -> list[Expected]:
        """Return the components that are known and were not found."""
        return sorted((Counter(self.expected) - Counter(map(seen, found.components))).elements(), key=repr)

    def unexpected(self, found: EquilibriumSet) -> list[Expected]:
        """Return the components that were found, or found again, and are not known."""
        return sorted((Counter(map(seen, found.components)) - Counter(self.expected)).elements(), key=repr)


def seen(one: Component) -> Expected:
    """Return what was found of a component in the words of what is known."""
    dimension = -1 if one.dimension is None else one.dimension
    return Expected(dimension, one.index, one.betti, one.verdict)
