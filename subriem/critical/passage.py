"""The point between two charts of a manifold at which the rank of the Jacobian is smaller."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.polynomial import chebyshev

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.charts import Chart
from subriem.critical.corrector import correct
from subriem.critical.system import System

#: Nodes of an interpolation along a step, and the half length of the second one, in units of the step.
NODES, CLOSER = 14, 0.1
#: A determinant that touches zero is below this share of its largest value on the step.
TOUCHES = 1e-7
#: |F| at the point found, relative to the length of the step, if it is a rest point.
MET = 1e-6
#: Halvings of an interval, to its roundoff.
HALVINGS = 60


def located(
    system: System, chart: Chart, v: Array, span: tuple[float, float], predict: Callable[[float], Array], touch: bool
) -> Array | None:
    """Return the rest point over z + s v, s in the span, at which the bordered determinant is zero; None without one.

    Parameters
    ----------
    system : System
    chart : Chart
        At z, where the determinant is bordered as here for all s.
    v : (n,) ndarray
        In its tangent space.
    span : pair of float
    predict : callable
        s -> a point near the manifold, from `cubic`.
    touch : bool
        Whether it touches zero; otherwise it goes through it.

    Notes
    -----
    At the point itself the corrector is singular, and next to it the other branch is near. So determinant and points
    are interpolated from nodes beside it, at Chebyshev's points, first on the whole span and then nearer, where the
    corrector starts from the first interpolation.
    """
    nodes = chebyshev.chebpts1(NODES)
    first, last = span
    reach = float(np.linalg.norm(v))
    largest, z = 0.0, chart.z
    for _ in range(2):
        middle, half = (first + last) / 2, (last - first) / 2
        values = [_node(system, chart, predict(middle + half * t), reach) for t in nodes]
        kept = [number for number, value in enumerate(values) if value is not None]
        if len(kept) < NODES - 2:
            return None
        table = np.array([values[number] for number in kept])
        basis = chebyshev.chebvander(nodes[kept], len(kept) - 1)
        coefficients: Array = np.linalg.solve(basis, table).astype(float)
        largest = max(largest, float(np.abs(table[:, 0]).max()))
        det = coefficients[:, 0]
        root = _root(np.asarray(chebyshev.chebder(det), dtype=float) if touch else det)
        if root is None or (touch and abs(chebyshev.chebval(root, det)) > TOUCHES * largest):
            return None
        predict = partial(_interpolated, coefficients[:, 1:], middle, half)
        place = middle + half * root
        z = predict(place)
        first, last = place - CLOSER, place + CLOSER
    return z if system.norm(z) <= MET * reach else None


def cubic(chart: Chart, v: Array, end: float, other: Array, turned: Array, s: float) -> Array:
    """Return the cubic at s from a chart to another point with tangent space `turned`, which is reached at s = `end`.

    Its image in the tangent space of the chart is s v.
    """
    t, first, chord = s / end, end * v, other - chart.z
    last = turned @ np.linalg.solve(chart.tangent.T @ turned, chart.tangent.T @ first)
    return np.asarray(chart.z + t * first + t**2 * (3 * chord - 2 * first - last) + t**3 * (first + last - 2 * chord))


def _interpolated(coefficients: Array, middle: float, half: float, s: float) -> Array:
    return np.asarray(chebyshev.chebval((s - middle) / half, coefficients), dtype=float)


def _node(system: System, chart: Chart, z: Array, reach: float) -> Array | None:
    """Return the determinant, bordered as at the chart and relative to that there, and the rest point over z."""
    found = correct(system, z, chart.tangent, chart.cokernel, reach)
    if found is None or found[1] > system.zero:
        return None
    sign, logarithm = Bordered(system.jacobian(found[0]), chart.tangent, chart.cokernel).determinant()
    return np.concatenate([[sign * np.exp(logarithm - chart.determinant[1])], found[0]])


def _root(series: Array) -> float | None:
    """Return the zero of a Chebyshev series between ends of different signs, or None."""
    low, high = -1.0, 1.0
    sign = chebyshev.chebval(low, series)
    if not sign * chebyshev.chebval(high, series) <= 0:
        return None
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if chebyshev.chebval(middle, series) * sign > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
