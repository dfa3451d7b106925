"""Where the rank changes along a manifold of rest points, and what branches off there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.polynomial import chebyshev

from subriem.core.bordered import Bordered
from subriem.core.protocols import Array
from subriem.critical.atlas import Atlas
from subriem.critical.charts import Charts
from subriem.critical.corrector import correct
from subriem.critical.system import System

#: Nodes of an interpolation along a step, and the half length of the second one, in units of the step.
NODES, CLOSER = 14, 0.1
#: A least |det| is looked at if a parabola through three charts goes below this share of what is beside it.
LOW = 0.2
#: A determinant that touches zero is below this share of its largest value on the step.
TOUCHES = 1e-7
#: Halvings of an interval, to its roundoff.
HALVINGS = 60


def rank_changes(system: System, atlas: Atlas) -> list[Array]:
    """Return the points of a manifold at which the bordered determinant is zero.

    It goes through zero where a singular value does, and touches zero where it does so twice: as that of grad (x y)^2
    along an axis, where no sign and no inertia change. On surfaces, where these are curves, changes of sign only are
    looked at, and one point of each curve is returned.

    Notes
    -----
    At the point itself the corrector is singular. So determinant and points are interpolated from nodes beside it, at
    Chebyshev's points, first on the whole step and then nearer.
    """
    charts = atlas.charts
    steps = list(_changes(charts))
    if charts.dimension == 1:
        steps += list(_touches(charts))
    found: list[Array] = []
    for i, v, first, last, touch in steps:
        z = _located(system, charts, i, v, (first, last), touch)
        if z is not None and all(np.linalg.norm(z - other) > charts.h / 10 for other in found):
            found.append(z)
    return found


def _changes(charts: Charts) -> Iterator[tuple[int, Array, float, float, bool]]:
    """Yield a step across each change of sign: on a curve all, of nearby ones on a surface one."""
    pairs = charts.edges()
    if charts.dimension == 1:
        apart = np.linalg.norm(charts.points[pairs[:, 0]] - charts.points[pairs[:, 1]], axis=1)
        pairs = pairs[np.argsort(apart, kind="stable")]
    pairs = pairs[charts.changes(pairs)]
    middles = charts.points[pairs].mean(axis=1)
    seen = np.zeros(len(pairs), dtype=bool)
    for number, (i, j) in enumerate(pairs.tolist()):
        if seen[number]:
            continue
        group = [number]
        while group:  # all that are joined to this one by short distances
            centre = middles[group.pop()]
            joined = ~seen & (
                np.linalg.norm(middles - centre, axis=1) <= (2 if charts.dimension > 1 else 0.5) * charts.h
            )
            seen |= joined
            group.extend(np.flatnonzero(joined).tolist())
        yield i, _along(charts, i, j), 0.0, 1.0, False


def _touches(charts: Charts) -> Iterator[tuple[int, Array, float, float, bool]]:
    """Yield the two steps around each chart of a curve beside which a parabola through log-free |det| goes to zero."""
    beside: dict[int, list[int]] = {}
    for i, j in charts.edges().tolist():
        beside.setdefault(i, []).append(j)
        beside.setdefault(j, []).append(i)
    for i, others in beside.items():
        steps = {j: float(charts.tangents[i, :, 0] @ (charts.points[j] - charts.points[i])) for j in others}
        right = min((j for j in others if steps[j] > 0), key=steps.__getitem__, default=None)
        left = max((j for j in others if steps[j] < 0), key=steps.__getitem__, default=None)
        if left is None or right is None:
            continue
        logs = charts.determinants[[left, i, right], 1]
        if not logs[1] <= min(logs[0], logs[2]):
            continue
        a, b, c = np.exp(logs - logs.max())
        bend = a - 2 * b + c
        if bend > 0 and b - (c - a) ** 2 / (8 * bend) <= LOW * max(a, c):
            yield i, charts.h * charts.tangents[i, :, 0], steps[left] / charts.h, steps[right] / charts.h, True


def _along(charts: Charts, i: int, j: int) -> Array:
    tangent = charts.tangents[i]
    return tangent @ (tangent.T @ (charts.points[j] - charts.points[i]))


def _located(
    system: System, charts: Charts, i: int, v: Array, interval: tuple[float, float], touch: bool
) -> Array | None:
    """Return the point over z_i + s v, s in an interval, where the determinant is zero."""
    first, last = interval
    nodes = chebyshev.chebpts1(NODES)
    largest, z = 0.0, None
    for _ in range(2):
        middle, half = (first + last) / 2, (last - first) / 2
        values = [_node(system, charts, i, v, middle + half * t) for t in nodes]
        kept = [number for number, value in enumerate(values) if value is not None]
        if len(kept) < NODES - 2:
            return None
        table = np.array([values[number] for number in kept])
        table[:, 0] *= np.exp(-charts.determinants[i, 1])
        basis = chebyshev.chebvander(nodes[kept], len(kept) - 1)
        coefficients: Array = np.linalg.solve(basis, table).astype(float)
        largest = max(largest, float(np.abs(table[:, 0]).max()))
        det = coefficients[:, 0]
        root = _root(np.asarray(chebyshev.chebder(det), dtype=float) if touch else det)
        if root is None or (touch and abs(chebyshev.chebval(root, det)) > TOUCHES * largest):
            return None
        z = np.asarray(chebyshev.chebval(root, coefficients[:, 1:]), dtype=float)
        place = middle + half * root
        first, last = place - CLOSER, place + CLOSER
    return z


def _node(system: System, charts: Charts, i: int, v: Array, s: float) -> Array | None:
    """Return the scaled determinant and the point over z_i + s v."""
    tangent, cokernel = charts.tangents[i], charts.cokernels[i]
    found = correct(system, charts.points[i] + s * v, tangent, cokernel, charts.h)
    if found is None or found[1] > system.zero:
        return None
    sign, logarithm = Bordered(system.jacobian(found[0]), tangent, cokernel).determinant()
    return np.concatenate([[sign * np.exp(logarithm)], found[0]])


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
