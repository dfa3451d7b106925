"""A curve of rest points between two charts, interpolated: also where the corrector is singular."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.charts import Chart
from subriem.critical.corrector import correct
from subriem.critical.system import System

#: Nodes of an interpolation along a step, and the half length of a second one nearer to what is looked for, in units of
#: the step.
NODES, CLOSER = 14, 0.1


def cubic(chart: Chart, v: Array, end: float, other: Array, turned: Array, s: float) -> Array:
    """Return the cubic at s from a chart to another point with tangent space `turned`, which is reached at s = `end`.

    Its image in the tangent space of the chart is s v.
    """
    t, first, chord = s / end, end * v, other - chart.z
    last = turned @ np.linalg.solve(chart.tangent.T @ turned, chart.tangent.T @ first)
    return np.asarray(chart.z + t * first + t**2 * (3 * chord - 2 * first - last) + t**3 * (first + last - 2 * chord))


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
    system: System, chart: Chart, reach: float, predict: Callable[[float], Array], first: float, last: float
) -> Arc | None:
    """Return the rest points from s = `first` to `last` over the tangent space of a chart, near those predicted.

    The determinant is bordered as at the chart and relative to that there.
    """
    middle, half = (first + last) / 2, (last - first) / 2
    nodes = chebyshev.chebpts1(NODES)
    values = [_node(system, chart, predict(middle + half * t), reach) for t in nodes]
    kept = [number for number, value in enumerate(values) if value is not None]
    if len(kept) < NODES - 2:
        return None
    table = np.array([values[number] for number in kept])
    basis = chebyshev.chebvander(nodes[kept], len(kept) - 1)
    coefficients: Array = np.linalg.solve(basis, table).astype(float)
    return Arc(coefficients, middle, half, float(np.abs(table[:, 0]).max()))


def _node(system: System, chart: Chart, z: Array, reach: float) -> Array | None:
    found = correct(system, z, chart.tangent, chart.cokernel, reach)
    if found is None or found[1] > system.zero:
        return None
    sign, logarithm = Bordered(system.jacobian(found[0]), chart.tangent, chart.cokernel).determinant()
    return np.concatenate([[sign * np.exp(logarithm - chart.determinant[1])], found[0]])
