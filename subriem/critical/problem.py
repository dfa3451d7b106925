"""A set of rest points {F = 0}, and what is known of the motion around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from subriem.core.protocols import Array, Map
from subriem.critical.legs import Follow


@dataclass(frozen=True, eq=False)
class RestProblem:
    """The equation F(z) = 0 of rest points in R^n, with the motion z' around them, as far as it is known.

    Attributes
    ----------
    map : Map
        z (n,) -> F (m,); m need not be n, and equations may depend on each other.
    names : tuple of str
        The coordinates of z.
    linearize : callable, optional
        z -> (E, A), both (k, n), with E dz' = A dz for deviations from a rest point z: E = 1 for a flow, singular for
        a DAE; of equations of second or higher order with more columns, for derivatives of z. None for a plain
        equation: then nothing is known of stability.
    gradient : bool
        Whether the motion is -grad of a cost on what constraints allow: eigenvalues are real, and the index is
        Morse's.
    cost : callable, optional
        z -> the cost or energy.
    output : Map, optional
        theta -> x[theta], whose rank is told; its theta are the first `shown` coordinates.
    shown : int
        How many coordinates, the first ones, are those of the user's space; the rest are multipliers.
    canonical : callable, optional
        z -> the representative of its orbit under the symmetries of the problem (of a network: permutations and signs).
    follow : callable, optional
        (state, time) -> where the motion has gone, a `Leg`.
    """

    map: Map
    names: tuple[str, ...]
    linearize: Callable[[Array], tuple[Array, Array]] | None = None
    gradient: bool = False
    cost: Callable[[Array], float] | None = None
    output: Map | None = None
    shown: int = 0
    canonical: Callable[[Array], Array] | None = None
    follow: Follow | None = None
