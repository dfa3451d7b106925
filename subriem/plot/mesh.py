"""A surface as triangles, from charts on it."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.critical.topology import sheet_pairs

#: Triangles of a larger circumradius, in units of h, bridge what no chart covers.
LARGEST = 1.25

Sector = tuple[float, float]


def triangles(points: Array, tangents: Array, h: float) -> NDArray[np.intp]:
    """Return triangles between charts that make a surface: two at each edge, or one at a boundary.

    Parameters
    ----------
    points : (N, n) ndarray
    tangents : (N, n, 2) ndarray
        Orthonormal bases of the tangent spaces.
    h : float
        Spacing of the charts.

    Returns
    -------
    (M, 3) ndarray of int
        In no common orientation: a surface need not have one.

    Notes
    -----
    Each chart proposes the triangles around it, Delaunay's of its neighbours in its tangent plane. They are taken by
    the number of corners that propose them, then by size, as long as none lies over another around a corner. So where
    corners disagree, with four points nearly on a circle, one of the two diagonals is taken.

    Examples
    --------
    >>> import numpy as np
    >>> square = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1.1, 0]])
    >>> len(triangles(square, np.broadcast_to(np.eye(3)[:, :2], (4, 3, 2)), 1.0))
    2
    """
    near: list[list[int]] = [[] for _ in points]
    for i, j in sheet_pairs(points, tangents, h).tolist():
        near[i].append(j)
        near[j].append(i)
    votes: dict[tuple[int, int, int], int] = defaultdict(int)
    for i, around in enumerate(near):
        for j, k in _star((points[around] - points[i]) @ tangents[i]):
            a, b, c = sorted((i, around[j], around[k]))
            votes[a, b, c] += 1
    offered = np.array(list(votes), dtype=int).reshape(-1, 3)
    radius = _circumradii(points[offered])
    count = np.array(list(votes.values()), dtype=int)
    order = np.lexsort((radius, -count))
    surface = _Surface(points, tangents)
    for number in order[radius[order] <= LARGEST * h]:
        surface.take(offered[number].tolist())
    return np.array(surface.taken, dtype=int).reshape(-1, 3)


def _star(plane: Array) -> list[tuple[int, int]]:
    """Return the pairs of neighbours that make a Delaunay triangle with the origin."""
    from scipy.spatial import Delaunay

    if len(plane) < 3:
        return [(0, 1)] if len(plane) == 2 else []
    # QJ: points on a line or a circle are moved by roundoff, and never refused
    simplices = Delaunay(np.vstack([np.zeros(2), plane]), qhull_options="QJ").simplices
    mine = simplices[(simplices == 0).any(axis=1)]
    return [(j, k) for j, k in (mine[mine != 0].reshape(-1, 2) - 1).tolist()]


def _circumradii(corners: Array) -> Array:
    sides = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=2)
    squares = sides**2
    sixteen = 2 * (squares * squares[:, [1, 2, 0]]).sum(axis=1) - (squares**2).sum(axis=1)  # (4 area)^2, after Heron
    return sides.prod(axis=1) / np.sqrt(np.maximum(sixteen, np.finfo(float).tiny))


class _Surface:
    """Triangles of which none lies over another in the tangent plane of a corner."""

    def __init__(self, points: Array, tangents: Array) -> None:
        self.points, self.tangents = points, tangents
        self.taken: list[tuple[int, int, int]] = []
        self.filled: list[list[Sector]] = [[] for _ in points]  # that its triangles fill, anticlockwise

    def take(self, corners: list[int]) -> None:
        """Add a triangle if there is room for it."""
        a, b, c = corners
        sectors = [self._sector(a, b, c), self._sector(b, c, a), self._sector(c, a, b)]
        if any(_over(new, old) for i, new in zip(corners, sectors, strict=True) for old in self.filled[i]):
            return
        for i, sector in zip(corners, sectors, strict=True):
            self.filled[i].append(sector)
        self.taken.append((a, b, c))

    def _sector(self, i: int, j: int, k: int) -> Sector:
        plane = (self.points[[j, k]] - self.points[i]) @ self.tangents[i]
        first, second = np.arctan2(plane[:, 1], plane[:, 0]).tolist()
        return (first, second) if (second - first) % (2 * np.pi) <= np.pi else (second, first)


def _over(new: Sector, old: Sector) -> bool:
    """Return whether two sectors around a corner have a part in common: one begins in the other."""
    (start, end), (first, last) = new, old
    turn = 2 * np.pi
    return (start - first) % turn < (last - first) % turn or (first - start) % turn < (end - start) % turn
