"""Components as they are shown: with stability, topology and cost."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.status import Status
from subriem.critical.atlas import Atlas
from subriem.critical.changes import stability_changes
from subriem.critical.component import Component, Crossing
from subriem.critical.problem import RestProblem
from subriem.critical.search import Search
from subriem.critical.searchstate import Traced
from subriem.critical.stability import stability
from subriem.critical.system import System
from subriem.critical.topology import topology

#: A component whose charts come this near to a crossing, in units of their spacing, meets it.
NEAR = 1.5


def described(search: Search, executor: Executor | None = None) -> tuple[tuple[Component, ...], tuple[Crossing, ...]]:
    """Return the components by decreasing dimension, then by index and cost, and the crossings."""
    meetings = search.meetings
    describe = _Describe(search.system, search.problem, search.policy, np.array([z for z, _ in meetings]))
    traced = [Traced(one.structure, one.atlas, one.starts) for one in search.known]
    components = sorted(executor.map(describe, traced) if executor is not None else map(describe, traced), key=_order)
    crossings = []
    for z, structure in meetings:
        near = [
            number
            for number, one in enumerate(components)
            if np.linalg.norm(one.points - z, axis=1).min() <= NEAR * one.h
        ]
        tangents = tuple(branch.tangent for branch in structure.branches)
        crossings.append(Crossing(z, structure.verdict, structure.nullity, tangents, tuple(near)))
    return tuple(components), tuple(crossings)


def _order(one: Component) -> tuple[float, tuple[int, ...], float]:
    dimension = -1 if one.dimension is None else one.dimension
    return -dimension, one.indices, 0.0 if one.cost is None else one.cost


@dataclass(frozen=True, eq=False)
class _Describe:
    """What is said of one component; `meetings` (M, n) are the points where the rank changes."""

    system: System
    problem: RestProblem
    policy: RankPolicy
    meetings: Array

    def __call__(self, one: Traced) -> Component:
        """Return the component as it is shown."""
        problem, structure, atlas = self.problem, one.structure, one.atlas
        charts = atlas.charts
        point = charts.points[0]
        motion = None
        if problem.linearize is not None:
            zeros = 0 if structure.verdict == "morse_bott" else structure.nullity - charts.dimension
            motion = stability(problem, charts.points, charts.tangents, self.policy, zeros=zeros)
        changes = ()
        if motion is not None and charts.dimension == 1:
            changes = stability_changes(self.system, problem, charts, motion, self.meetings, self.policy)
        whole = atlas.status is Status.SUCCESS and (len(charts) > 1 or not structure.dimension)
        shape = None
        if whole and structure.verdict in ("morse_bott", "degenerate"):
            shape = topology(charts.points, charts.tangents, charts.h)
            if shape.betti is not None and not _possible(shape.betti, atlas):
                shape = replace(shape, betti=None, euler=None, agreed=False)
        return Component(
            point=point,
            verdict=structure.verdict,
            dimension=structure.dimension,
            nullity=structure.nullity,
            charts=charts,
            status=atlas.status,
            message=atlas.message,
            leaves_box=atlas.leaves_box,
            stability=motion,
            topology=shape,
            cost=problem.cost(point) if problem.cost is not None else None,
            starts=one.starts,
            changes=changes,
        )


def _possible(betti: tuple[int, ...], atlas: Atlas) -> bool:
    """Whether a connected manifold may have these Betti numbers over Z/2; one without a boundary has b_k = b_0."""
    closed = not atlas.leaves_box and not len(atlas.ends)
    return betti[0] == 1 and (not closed or betti[-1] == 1)
