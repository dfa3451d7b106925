"""Components as they are shown: with stability, topology and cost."""

from __future__ import annotations

import numpy as np

from subriem.core.status import Status
from subriem.critical.equilibriumset import Component, Crossing
from subriem.critical.known import Known
from subriem.critical.search import Search
from subriem.critical.stability import stability
from subriem.critical.topology import topology

#: A component whose charts come this near to a crossing, in units of their spacing, meets it.
NEAR = 1.5


def described(search: Search) -> tuple[tuple[Component, ...], tuple[Crossing, ...]]:
    """Return the components by decreasing dimension, then by index and cost, and the crossings."""
    components = [(_component(search, one), one) for one in search.known]
    components.sort(key=lambda pair: _order(pair[0]))
    crossings = []
    for z, structure in search.crossings:
        near = [
            number
            for number, (_, one) in enumerate(components)
            if np.linalg.norm(one.atlas.charts.points - z, axis=1).min() <= NEAR * one.atlas.charts.h
        ]
        tangents = tuple(branch.tangent for branch in structure.branches)
        crossings.append(Crossing(z, structure.verdict, structure.nullity, tangents, tuple(near)))
    return tuple(one for one, _ in components), tuple(crossings)


def _order(one: Component) -> tuple[float, tuple[int, ...], float]:
    dimension = -1 if one.dimension is None else one.dimension
    return -dimension, one.indices, 0.0 if one.cost is None else one.cost


def _component(search: Search, one: Known) -> Component:
    problem, structure, atlas = search.problem, one.structure, one.atlas
    charts = atlas.charts
    motion = None
    if problem.linearize is not None:
        zeros = 0 if structure.verdict == "morse_bott" else structure.nullity - charts.dimension
        motion = stability(problem, charts.points, charts.tangents, search.policy, zeros=zeros)
    whole = atlas.status is Status.SUCCESS and (one.traced or not structure.dimension)
    shape = None
    if whole and structure.verdict in ("morse_bott", "degenerate"):
        shape = topology(charts.points, charts.tangents, charts.h)
    return Component(
        point=one.point,
        verdict=structure.verdict,
        dimension=structure.dimension,
        nullity=structure.nullity,
        charts=charts,
        status=atlas.status,
        message=atlas.message,
        leaves_box=atlas.leaves_box,
        stability=motion,
        topology=shape,
        cost=problem.cost(one.point) if problem.cost is not None else None,
        starts=one.starts,
    )
