"""Verdicts on a distribution at a point: whether brackets fill the tangent space, and alike around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.errors import GeometryError
from subriem.core.protocols import Array
from subriem.geometry.growth import Growth


@dataclass(frozen=True)
class Verdict:
    """An answer with its reason; true in the sense of `bool` only where the answer is yes.

    Attributes
    ----------
    holds : bool or None
        None where what was looked at does not tell.
    reason : str

    Examples
    --------
    >>> import subriem as sr
    >>> grushin = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
    >>> print(grushin.bracket_generating([0, 0]))
    yes: brackets of up to 2 fields fill the tangent space
    """

    holds: bool | None
    reason: str

    def __bool__(self) -> bool:
        return self.holds is True

    def __str__(self) -> str:
        return f"{ {True: 'yes', False: 'no', None: 'undecided'}[self.holds] }: {self.reason}"


@dataclass(frozen=True)
class Regularity(Verdict):
    """Whether the growth vector is the same around a point, with those seen.

    Attributes
    ----------
    holds : bool or None
    reason : str
    vector : tuple of int
        Growth vector at the point.
    around : tuple of tuple of int
        Those at points around it.

    Notes
    -----
    The points are in general position. Where the fields are analytic, they have the growth vector of an open dense set
    of the domain, and the point is regular if and only if it has the same.

    Examples
    --------
    >>> import subriem as sr
    >>> grushin = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
    >>> print(grushin.equiregular([0, 0]))
    no: growth vector (1, 2) at the point, (2,) around it
    """

    vector: tuple[int, ...]
    around: tuple[tuple[int, ...], ...]


def bracket_generating(growth: Growth) -> Verdict:
    """Return whether the brackets fill the tangent space, as the growth tells."""
    return Verdict(growth.generating, growth.reason)


def equiregular(growth: Growth) -> Regularity:
    """Return whether the growth vector is constant around a point, as those in general position near it tell."""
    here, others = growth.vector, sorted({vector for vector in growth.around if vector != growth.vector})
    if growth.nearly_singular:
        holds, reason = None, f"growth vector {here} is not sure: {growth.nearly_singular}"
    elif others:
        seen = " and ".join(str(vector) for vector in others)
        holds, reason = False, f"growth vector {here} at the point, {seen} around it"
    elif growth.generating is None or not growth.around:
        seen = f"growth vector {here} at all of {1 + len(growth.around)} points"
        holds, reason = None, f"{seen}, by brackets of up to {growth.step} fields"
    else:
        holds, reason = True, f"growth vector {here} at the point and at {len(growth.around)} points around it"
    return Regularity(holds, reason, here, growth.around)


def require_generating(growth: Growth, q: Array, what: str) -> None:
    """Raise `GeometryError` unless the brackets fill the tangent space."""
    if growth.generating is not True:
        raise GeometryError(
            f"{what} is not defined where brackets do not fill the tangent space",
            f"{growth} at q = {np.array2string(q, precision=6)}",
            "a bracket-generating distribution",
            "growth(q, steps=…) with more steps, or restrict the structure to the leaf it fills",
        )
