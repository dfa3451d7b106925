"""A curve of rest points between two charts, interpolated: also where the corrector is singular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.charts import Charts
from subriem.critical.corrector import correct
from subriem.critical.system import System

#: Nodes of an interpolation along a step, and the half length of a second one nearer to what is looked for, in units of
#: the step.
NODES, CLOSER = 14, 0.1


def cubic(charts: Charts, pair: tuple[int, int], v: Array, s: float) -> Array:
    """Return Hermite's cubic from chart i (s = 0) to j (s = 1): its image in the tangent space of i is z_i + s v."""
    i, j = pair
    base, turned = charts.tangents[i], charts.tangents[j]
    last = turned @ np.linalg.solve(base.T @ turned, base.T @ v)
    chord = charts.points[j] - charts.points[i]
    return np.asarray(charts.points[i] + s * v + s**2 * (3 * chord - 2 * v - last) + s**3 * (v + last - 2 * chord))


@dataclass(frozen=True, eq=False)
class Arc:
    """The rest points over a stretch as Chebyshev series, the determinant before them; made by `arc`.

    `largest` is the largest |determinant| at the nodes.
    """

    coefficients: Array
    middle: float
    half: float
    largest: float

    def __call__(self, s: float) -> Array:
        """Return the rest point, shape (n,): also where the corrector is singular."""
        return np.asarray(chebyshev.chebval((s - self.middle) / self.half, self.coefficients[:, 1:]), dtype=float)

    def tangent(self, s: float) -> Array:
        """Return the unit vector along the curve, shape (n,)."""
        slope = chebyshev.chebval((s - self.middle) / self.half, chebyshev.chebder(self.coefficients[:, 1:]))
        return np.asarray(slope / np.linalg.norm(slope), dtype=float)


def arc(
    system: System, charts: Charts, i: int, predict: Callable[[float], Array], first: float, last: float
) -> Arc | None:
    """Return the rest points from s = `first` to `last` over the tangent space of chart i, near those predicted."""
    middle, half = (first + last) / 2, (last - first) / 2
    nodes = chebyshev.chebpts1(NODES)
    values = [_node(system, charts, i, predict(middle + half * t)) for t in nodes]
    kept = [number for number, value in enumerate(values) if value is not None]
    if len(kept) < NODES - 2:
        return None
    table = np.array([values[number] for number in kept])
    table[:, 0] *= np.exp(-charts.determinants[i, 1])
    basis = chebyshev.chebvander(nodes[kept], len(kept) - 1)
    coefficients: Array = np.linalg.solve(basis, table).astype(float)
    return Arc(coefficients, middle, half, float(np.abs(table[:, 0]).max()))


def _node(system: System, charts: Charts, i: int, z: Array) -> Array | None:
    """Return the determinant, bordered as at chart i, and the rest point over the image of z in its tangent space."""
    tangent, cokernel = charts.tangents[i], charts.cokernels[i]
    found = correct(system, z, tangent, cokernel, charts.h)
    if found is None or found[1] > system.zero:
        return None
    sign, logarithm = Bordered(system.jacobian(found[0]), tangent, cokernel).determinant()
    return np.concatenate([[sign * np.exp(logarithm)], found[0]])
