"""Charts on a manifold of rest points, as arrays, and which of them are near a point and on its sheet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.critical.topology import sheet_pairs

#: Charts up to this distance, in units of h, are neighbours.
REACH = 1.5
#: A tree is made anew when this many points, or a third of all, are not in it.
LOOSE = 64


@dataclass(frozen=True, eq=False)
class Chart:
    """One of these: a rest point with bases of the null spaces of the Jacobian there.

    Attributes
    ----------
    z : (n,) ndarray
    tangent : (n, k) ndarray
    cokernel : (m, m - n + k) ndarray
    determinant : tuple of float
        Sign and logarithm of the determinant of the Jacobian bordered by both.
    residual : float
    """

    z: Array
    tangent: Array
    cokernel: Array
    determinant: tuple[float, float]
    residual: float


@dataclass(frozen=True, eq=False)
class Charts:
    """Charts on a manifold of rest points.

    Attributes
    ----------
    points : (N, n) ndarray
    tangents : (N, n, k) ndarray
        Orthonormal bases of the tangent spaces.
    cokernels : (N, m, m - n + k) ndarray
        Orthonormal bases of the left null spaces of the Jacobian, its equations in units of their own.
    determinants : (N, 2) ndarray
        Sign and logarithm of the determinant of the Jacobian bordered by both.
    residuals : (N,) ndarray
        |F|, in units of z.
    h : float
        Spacing, in units of z.
    """

    points: Array
    tangents: Array
    cokernels: Array
    determinants: Array
    residuals: Array
    h: float

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dimension(self) -> int:
        """The dimension k of the manifold."""
        return self.tangents.shape[2]

    def chart(self, i: int) -> Chart:
        """Return one of them."""
        sign, logarithm = self.determinants[i].tolist()
        return Chart(self.points[i], self.tangents[i], self.cokernels[i], (sign, logarithm), float(self.residuals[i]))

    def edges(self) -> NDArray[np.intp]:
        """Return the pairs i < j of neighbours on one sheet, shape (M, 2)."""
        if self.dimension == 0 or len(self) < 2:
            return np.zeros((0, 2), dtype=np.intp)
        pairs = sheet_pairs(self.points, self.tangents, self.h)
        apart = np.linalg.norm(self.points[pairs[:, 1]] - self.points[pairs[:, 0]], axis=1)
        return pairs[apart <= REACH * self.h]

    def changes(self, pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return whether the determinant changes its sign between the charts of each pair, bases turned alike."""
        first, second = pairs.T
        signs = self.determinants[first, 0] * self.determinants[second, 0]
        for bases in (self.tangents, self.cokernels):
            signs = signs * np.sign(np.linalg.det(np.einsum("pna,pnb->pab", bases[first], bases[second])))
        return signs < 0


class Neighbours:
    """Points near a point, among points that grow in number: a tree of most of them, and the rest in an array."""

    def __init__(self) -> None:
        self._tree = None
        self._inside = 0

    def near(self, points: Array, z: Array, reach: float) -> NDArray[np.intp]:
        """Return the numbers of the points within `reach` of z."""
        from scipy.spatial import cKDTree

        if len(points) - self._inside > max(LOOSE, self._inside // 2):
            self._tree, self._inside = cKDTree(points), len(points)
        rest = points[self._inside :] - z
        late = np.flatnonzero(np.einsum("ij,ij->i", rest, rest) <= reach * reach) + self._inside
        if self._tree is None:
            return late
        return np.concatenate([np.array(self._tree.query_ball_point(z, reach), dtype=np.intp), late])
