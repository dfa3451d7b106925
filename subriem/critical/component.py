"""A connected family of rest points: its charts, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.critical.problem import RestProblem
from subriem.critical.stability import stability
from subriem.critical.topology import topology


@dataclass(frozen=True, eq=False)
class Component:
    """A family of rest points.

    Attributes
    ----------
    points : (N, n) ndarray
    tangents : (N, n, k) ndarray
        Orthonormal.
    h : float
        Spacing of the charts; of an isolated rest point a distance below which there is no other.
    index : int or None
        Number of eigenvalues with a real part > 0 across the family; None where it differs along the family.
    cost : float or None
        At the first point; the same on all of the family for a gradient flow.
    betti : tuple of int, or None
        Over Z/2.
    margin : float
        Least |real part| of the spectrum across the family.
    """

    points: Array
    tangents: Array
    h: float
    index: int | None
    cost: float | None
    betti: tuple[int, ...] | None
    margin: float

    @property
    def dimension(self) -> int:
        """The dimension k of the family."""
        return self.tangents.shape[2]


def component(problem: RestProblem, points: Array, tangents: Array, h: float, policy: RankPolicy) -> Component:
    """Return a family with its index, cost, Betti numbers and margin.

    Raises
    ------
    ProblemError
        If arrays do not fit, or the problem tells nothing of a motion.

    Examples
    --------
    >>> import numpy as np, subriem as sr
    >>> from subriem.critical.adapters import rest_problem
    >>> saddle = rest_problem(sr.map(lambda z: [z[0], -2 * z[1]], 2), field=True)
    >>> found = component(saddle, np.zeros((1, 2)), np.zeros((1, 2, 0)), 0.1, sr.RankPolicy())
    >>> found.dimension, found.index, found.betti, found.margin
    (0, 1, (1,), 1.0)
    """
    across = stability(problem, points, tangents, policy)
    indices = set(across.index.tolist())
    return Component(
        points=points,
        tangents=tangents,
        h=h,
        index=indices.pop() if len(indices) == 1 else None,
        cost=problem.cost(points[0]) if problem.cost is not None else None,
        betti=topology(points, tangents, h).betti,
        margin=float(np.min(across.margin)),
    )
