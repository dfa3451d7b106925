"""A matrix of known rank bordered by bases near its null spaces: a regular square system beside the singular one.

    B = [ A    L ]      A (m, n) of rank r,  T (n, n - r) and L (m, m - r) orthonormal,
        [ T^T  0 ]

B is regular where A has rank at least r on the complement of T and L (Govaerts, Numerical Methods for Bifurcations of
Dynamical Equilibria, SIAM 2000, ch. 3). Its determinant changes sign where a further singular value of A goes through
zero, and its solutions turn T and L along with the null spaces of A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy


@dataclass(frozen=True, eq=False)
class NullSpaces:
    """The decided null spaces of a matrix, with all its singular vectors; made by `null_spaces`.

    Attributes
    ----------
    decision : RankDecision
    left_vectors, right_vectors : ndarray
        All singular vectors as columns, (m, m) and (n, n), by decreasing singular value.
    """

    decision: RankDecision
    left_vectors: Array
    right_vectors: Array

    @property
    def rank(self) -> int:
        """The decided rank."""
        return self.decision.rank

    @property
    def right(self) -> Array:
        """An orthonormal basis of the null space, (n, n - r)."""
        return self.right_vectors[:, self.rank :]

    @property
    def left(self) -> Array:
        """An orthonormal basis of the left null space, (m, m - r)."""
        return self.left_vectors[:, self.rank :]

    def of_rank(self, rank: int) -> tuple[Array, Array]:
        """Return bases T and L of the null spaces for another rank."""
        return self.right_vectors[:, rank:], self.left_vectors[:, rank:]


def null_spaces(matrix: Array, policy: RankPolicy, scale: float = 0.0) -> NullSpaces:
    """Decide the rank of a matrix as it is; `scale` is a size of such matrices elsewhere.

    Examples
    --------
    >>> found = null_spaces(np.diag([2.0, 1e-14]), RankPolicy())
    >>> found.rank, abs(found.right[:, 0])
    (1, array([0., 1.]))
    """
    left, sigma, right = np.linalg.svd(matrix, full_matrices=True)
    return NullSpaces(policy.decide(sigma, scale), left, right.T)


class Bordered:
    """The bordered matrix of A.

    Parameters
    ----------
    matrix : (m, n) ndarray
        A.
    tangent : (n, k) ndarray
        T.
    cokernel : (m, m - n + k) ndarray
        L.

    Raises
    ------
    numpy.linalg.LinAlgError
        By its methods, if B is exactly singular.
    """

    def __init__(self, matrix: Array, tangent: Array, cokernel: Array) -> None:
        m, n = matrix.shape
        self.n, self.k = n, tangent.shape[1]
        self.matrix = matrix
        self.whole = np.zeros((m + self.k, m + self.k))
        self.whole[:m, :n] = matrix
        self.whole[:m, n:] = cokernel
        self.whole[m:, :n] = tangent.T

    def step(self, residual: Array) -> Array:
        """Return v with A v + L y = residual and T^T v = 0, shape (n,)."""
        right = np.concatenate([residual, np.zeros(self.k)])
        return _solved(self.whole, right)[: self.n]

    def turned(self) -> tuple[Array, Array, float]:
        """Return the null spaces of A as bases (n, k) and (m, m - n + k) aligned with T and L, and their tilt.

        X with A X = 0, T^T X = 1 spans the null space; the orthogonal polar factor of X is its basis that is nearest to
        T (Procrustes). The tilt is the largest angle between T and the null space (rad).
        """
        size, m = len(self.whole), len(self.whole) - self.k
        right = _solved(self.whole, np.eye(size)[:, m:])[: self.n]
        left = _solved(self.whole.T, np.eye(size)[:, self.n :])[:m]
        tangent, tilt = _polar(right)
        return tangent, _polar(left)[0], tilt

    def determinant(self) -> tuple[float, float]:
        """Return the sign and the logarithm of the absolute value of det B."""
        sign, logarithm = np.linalg.slogdet(self.whole)
        return float(sign), float(logarithm)


def _solved(matrix: Array, right: Array) -> Array:
    return np.asarray(np.linalg.solve(matrix, right), dtype=float)


def _polar(columns: Array) -> tuple[Array, float]:
    """Return X (X^T X)^(-1/2) and the largest angle to the basis T with T^T X = 1."""
    if not columns.shape[1]:
        return columns, 0.0
    squares, mix = np.linalg.eigh(columns.T @ columns)
    if not squares[0] > 0:  # cannot be with T^T X = 1, but for overflow
        return columns, np.pi / 2
    return (columns @ mix / np.sqrt(squares)) @ mix.T, float(np.arccos(min(1.0, 1 / np.sqrt(squares[-1]))))
