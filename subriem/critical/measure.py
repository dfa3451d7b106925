"""Length and area of manifolds from points on them with their tangent spaces: of fourth order in the spacing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array

#: Triangles of a larger circumradius, in units of h, bridge what no chart covers: they are outside.
OUTSIDE = 1.1
#: Points and weight of a rule on the triangle that is exact to degree 2 (Strang and Fix), in barycentric coordinates.
RULE = np.array([[4, 1, 1], [1, 4, 1], [1, 1, 4]]) / 6


def length(points: Array, tangents: Array, pairs: NDArray[np.intp], h: float) -> float:
    """Return the length of curves: sum over neighbours of the arc that has the chord and the turn of the tangents.

    Parameters
    ----------
    points : (N, n) ndarray
    tangents : (N, n, 1) ndarray
        Unit vectors.
    pairs : (M, 2) ndarray of int
        Which points are near each other on the curve.
    h : float
        Spacing of the points: not needed here.
    """
    first, second = links(points, tangents, pairs).T
    return float(_arcs(points, tangents, first, second).sum())


def links(points: Array, tangents: Array, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the pairs i < j of points next to each other on curves, of all that are near; arguments of `length`."""
    next_on: dict[tuple[int, bool], tuple[float, int]] = {}
    for i, j in np.concatenate([pairs, pairs[:, ::-1]]).tolist():
        chord = points[j] - points[i]
        side = (i, bool(tangents[i, :, 0] @ chord > 0))
        next_on[side] = min(next_on.get(side, (np.inf, 0)), (float(np.linalg.norm(chord)), j))
    edges = {(min(i, j), max(i, j)) for (i, _), (_, j) in next_on.items()}
    return np.array(sorted(edges), dtype=np.intp).reshape(-1, 2)


def _arcs(points: Array, tangents: Array, first: NDArray[np.intp], second: NDArray[np.intp]) -> Array:
    """Return the lengths of circular arcs with the chord and with its mean angle to the two tangent spaces."""
    chord = points[second] - points[first]
    size = np.linalg.norm(chord, axis=1)
    angle = np.zeros(len(first))
    for end in (first, second):
        within = np.linalg.norm(np.einsum("pna,pn->pa", tangents[end], chord), axis=1)
        angle += np.arccos(np.clip(within / size, -1.0, 1.0)) / 2
    return size / np.sinc(angle / np.pi)


def area(points: Array, tangents: Array, pairs: NDArray[np.intp], h: float) -> float:
    """Return the area of surfaces: sum over the charts of the part of the triangles around it that is nearest to it.

    Parameters
    ----------
    points : (N, n) ndarray
    tangents : (N, n, 2) ndarray
        Orthonormal.
    pairs : (M, 2) ndarray of int
        Which points are near each other on the surface.
    h : float
        Spacing of the points.

    Notes
    -----
    The triangles around a chart are Delaunay's of its neighbours in its tangent plane. Triangulations of neighbouring
    charts may differ where four points are nearly on a circle; the share of the triangle that is nearest to a vertex
    (Meyer, Desbrun, Schröder and Barr 2003) does not depend on which diagonal is taken then. Each triangle is curved:
    quadratic, with the middles of its sides from the tangent planes.
    """
    triangles = _stars(points, tangents, pairs)
    if not len(triangles):
        return 0.0
    corners = points[triangles]
    sides = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=2)  # side a is opposite to corner a
    squares = sides**2
    flat = np.sqrt(np.maximum(2 * (squares[:, [0, 1, 2]] * squares[:, [1, 2, 0]]).sum(1) - (squares**2).sum(1), 0)) / 4
    inside = sides.prod(axis=1) <= 4 * flat * OUTSIDE * h
    squares, flat = squares[inside], flat[inside]
    cotangents = (squares.sum(axis=1, keepdims=True) - 2 * squares) / (4 * flat[:, None])
    share = (squares[:, 1] * cotangents[:, 1] + squares[:, 2] * cotangents[:, 2]) / (8 * flat)
    return float(share @ _curved(points, tangents, triangles[inside]))


def _stars(points: Array, tangents: Array, pairs: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the triangles around each point, its own number first, shape (M, 3)."""
    from scipy.spatial import Delaunay

    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(points) + 1))
    found = [np.zeros((0, 3), dtype=int)]
    for i in range(len(points)):
        near = both[starts[i] : starts[i + 1], 1]
        if len(near) < 2:
            continue
        plane = (points[near] - points[i]) @ tangents[i]
        plane *= (_arcs(points, tangents, np.full(len(near), i), near) / np.linalg.norm(plane, axis=1))[:, None]
        flat = np.vstack([np.zeros(2), plane])
        simplices = Delaunay(flat, qhull_options="QJ").simplices if len(near) > 2 else np.array([[0, 1, 2]])
        mine = simplices[(simplices == 0).any(axis=1)]
        others = mine[mine != 0].reshape(-1, 2) - 1
        found.append(np.column_stack([np.full(len(others), i), near[others]]))
    return np.concatenate(found)


def _curved(points: Array, tangents: Array, triangles: NDArray[np.intp]) -> Array:
    """Return the areas of quadratic triangles through the corners and the middles of the sides."""
    corners = points[triangles]
    middles = []
    for a, b in ((1, 2), (2, 0), (0, 1)):
        chord = corners[:, b] - corners[:, a]
        arc = _arcs(points, tangents, triangles[:, a], triangles[:, b])
        slopes = []
        for end in (a, b):
            basis = tangents[triangles[:, end]]
            image = np.einsum("pna,pma,pm->pn", basis, basis, chord)
            slopes.append(image * (arc / np.linalg.norm(image, axis=1))[:, None])
        middles.append((corners[:, a] + corners[:, b]) / 2 + (slopes[0] - slopes[1]) / 8)  # Hermite's cubic at 1/2
    total = np.zeros(len(triangles))
    for l0, l1, l2 in RULE:
        # x = sum l_a (2 l_a - 1) p_a + 4 (l1 l2 m_0 + l2 l0 m_1 + l0 l1 m_2), by l1 and l2 with l0 = 1 - l1 - l2
        by = [(4 * weight - 1) * corners[:, a] for a, weight in enumerate((l0, l1, l2))]
        by[0] = by[0] + 4 * (l2 * middles[1] + l1 * middles[2])
        by[1] = by[1] + 4 * (l2 * middles[0] + l0 * middles[2])
        by[2] = by[2] + 4 * (l1 * middles[0] + l0 * middles[1])
        u, v = by[1] - by[0], by[2] - by[0]
        gram = (u * u).sum(1) * (v * v).sum(1) - (u * v).sum(1) ** 2
        total += np.sqrt(np.maximum(gram, 0.0)) / 6
    return total
