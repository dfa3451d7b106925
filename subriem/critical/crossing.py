"""Where the rank changes along a manifold of rest points, and what branches off there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.critical.arc import cubic
from subriem.critical.atlas import Atlas
from subriem.critical.charts import Charts
from subriem.critical.passage import located
from subriem.critical.system import System

#: A least |det| is looked at if a parabola through three charts goes below this share of what is beside it.
LOW = 0.2


@dataclass(frozen=True, eq=False)
class _Stretch:
    """The part of a manifold over z_i + s v, from s = `left` to `right`, v in the tangent space of chart i.

    `others` are the charts at its ends, beside i: of one or of two steps.
    """

    i: int
    v: Array
    left: float
    right: float
    others: tuple[tuple[int, float], ...]
    touch: bool


def rank_changes(system: System, atlas: Atlas) -> list[Array]:
    """Return the points of a manifold at which the bordered determinant is zero.

    It goes through zero where a singular value does, and touches zero where it does so twice: as that of grad (x y)^2
    along an axis, where no sign and no inertia change. On surfaces, where these are curves, changes of sign only are
    looked at, and one point of each curve is returned.
    """
    charts = atlas.charts
    stretches = list(_changes(charts))
    if charts.dimension == 1:
        stretches += list(_touches(charts))
    found: list[Array] = []
    for stretch in stretches:
        z = _located(system, charts, stretch)
        if z is not None and all(np.linalg.norm(z - other) > charts.h / 10 for other in found):
            found.append(z)
    return found


def _changes(charts: Charts) -> Iterator[_Stretch]:
    """Yield a step across each change of sign: on a curve all, of nearby ones on a surface one."""
    pairs = charts.edges()
    pairs = pairs[charts.changes(pairs)]
    middles = charts.points[pairs].mean(axis=1)
    reach = (2.0 if charts.dimension > 1 else 0.5) * charts.h
    seen = np.zeros(len(pairs), dtype=bool)
    for number, (i, j) in enumerate(pairs.tolist()):
        if seen[number]:
            continue
        group = [number]
        while group:  # all that are joined to this one by short distances
            joined = ~seen & (np.linalg.norm(middles - middles[group.pop()], axis=1) <= reach)
            seen |= joined
            group.extend(np.flatnonzero(joined).tolist())
        tangent = charts.tangents[i]
        v = tangent @ (tangent.T @ (charts.points[j] - charts.points[i]))
        yield _Stretch(i, v, 0.0, 1.0, ((j, 1.0),), False)


def _touches(charts: Charts) -> Iterator[_Stretch]:
    """Yield the two steps around each chart of a curve beside which a parabola through |det| goes to zero."""
    beside: dict[int, list[int]] = {}
    for i, j in charts.edges().tolist():
        beside.setdefault(i, []).append(j)
        beside.setdefault(j, []).append(i)
    for i, others in beside.items():
        v = charts.h * charts.tangents[i, :, 0]
        steps = {j: float(v @ (charts.points[j] - charts.points[i])) / charts.h**2 for j in others}
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
            ends = ((left, steps[left]), (right, steps[right]))
            yield _Stretch(i, v, steps[left], steps[right], ends, True)


def _located(system: System, charts: Charts, stretch: _Stretch) -> Array | None:
    """Return the point of a stretch where the determinant is zero, or None if there is none."""
    chart = charts.chart(stretch.i)

    def predict(s: float) -> Array:
        j, end = next(((j, end) for j, end in stretch.others if s * end >= 0), stretch.others[0])
        return cubic(chart, stretch.v, end, charts.points[j], charts.tangents[j], s)

    return located(system, chart, stretch.v, (stretch.left, stretch.right), predict, stretch.touch)
