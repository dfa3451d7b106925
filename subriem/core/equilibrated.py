"""Rank and null spaces of matrices whose rows and columns are in different units: decided after equilibration.

So no answer depends on the units of an equation or of a variable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy

#: Rounds of equilibration of rows and columns to length one.
ROUNDS = 8
#: Share in a relation, relative to the largest, from which on a row may be the one that goes.
FAIR = 0.3


def equilibrate(matrix: Array) -> tuple[Array, Array, Array]:
    """Return R A C with rows and columns of lengths near one, and the diagonals of R and C; zero rows stay zero."""
    rows, columns = np.ones(matrix.shape[0]), np.ones(matrix.shape[1])
    scaled = matrix.astype(float)
    for _ in range(ROUNDS):
        row = _inverse_root(np.linalg.norm(scaled, axis=1))
        scaled *= row[:, None]
        column = _inverse_root(np.linalg.norm(scaled, axis=0))
        scaled *= column
        rows *= row
        columns *= column
    return scaled, rows, columns


def _inverse_root(lengths: Array) -> Array:
    return 1.0 / np.sqrt(np.where(lengths > 0, lengths, 1.0))


@dataclass(frozen=True, eq=False)
class RankFactor:
    """An equilibrated matrix R A C with its decided rank and null spaces.

    Attributes
    ----------
    decision : RankDecision
    scaled : (m, n) ndarray
    rows, columns : ndarray
        Diagonals of R and C.
    left, right : ndarray
        Orthonormal bases of the left and right null spaces of the scaled matrix, (m, m - r) and (n, n - r).
    """

    decision: RankDecision
    scaled: Array
    rows: Array
    columns: Array
    left: Array
    right: Array

    @property
    def rank(self) -> int:
        """The decided rank."""
        return self.decision.rank

    def kernel(self) -> Array:
        """Return an orthonormal basis of the null space of A itself, in the units of the unknowns."""
        if not self.right.shape[1]:
            return self.right
        return np.linalg.qr(self.columns[:, None] * self.right)[0]


def rank_factor(matrix: Array, policy: RankPolicy) -> RankFactor:
    """Decide the rank of an equilibrated matrix, by its singular values."""
    scaled, rows, columns = equilibrate(matrix)
    if 0 in matrix.shape:
        decision = policy.decide([])
        return RankFactor(decision, scaled, rows, columns, np.eye(matrix.shape[0]), np.eye(matrix.shape[1]))
    left, sigma, right = np.linalg.svd(scaled, full_matrices=True)
    # an equilibrated matrix that is not zero has a largest singular value of order one: `scale` guards the zero matrix
    decision = policy.decide(sigma, scale=1.0)
    return RankFactor(decision, scaled, rows, columns, left[:, decision.rank :], right[decision.rank :].T)


def independent_rows(factor: RankFactor) -> list[int]:
    """Return as many independent rows as the decided rank, earlier ones preferred, in increasing order.

    One after the other the last row with a fair share in the relations that are left goes.
    """
    relations = factor.left.copy()
    kept = set(range(factor.scaled.shape[0]))
    for _ in range(relations.shape[1]):
        share = np.linalg.norm(relations, axis=1)
        last = int(np.flatnonzero(share >= FAIR * share.max())[-1])
        kept.discard(last)
        direction = relations[last] / share[last]
        relations -= np.outer(relations @ direction, direction)
    return sorted(kept)


def kernel_basis(part: Array, policy: RankPolicy) -> Array:
    """Return an orthonormal basis of the x with part x = 0, for entries that are of order one as they are."""
    if not part.size:
        return np.eye(part.shape[1])
    _, sigma, right = np.linalg.svd(part, full_matrices=True)
    return right[policy.decide(sigma, scale=1.0).rank :].T


def decide(matrix: Array, policy: RankPolicy, scale: float = 0.0) -> RankDecision:
    """Return the decision on the rank of a matrix as it is."""
    return policy.decide(np.linalg.svd(matrix, compute_uv=False), scale)


def least_singular_values(matrices: Array) -> Array:
    """Return the smallest singular value of each of many matrices (N, m, n): how far each is from losing rank."""
    return np.asarray(np.linalg.svd(matrices, compute_uv=False)[:, -1], dtype=float)


def weakest_direction(matrix: Array) -> Array:
    """Return the unit vector that a matrix with columns scaled to length one shrinks most."""
    lengths = np.linalg.norm(matrix, axis=0)
    return np.linalg.svd(matrix / np.where(lengths > 0, lengths, 1.0))[2][-1]


def singular_triplet(matrix: Array, number: int) -> tuple[float, Array, Array]:
    """Return the singular value of this number, from 1 for the largest, with its left and right singular vectors."""
    left, sigma, right = np.linalg.svd(matrix)
    return float(sigma[number - 1]), left[:, number - 1], right[number - 1]
