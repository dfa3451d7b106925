"""Rank and null spaces of matrices whose rows and columns are in different units: decided after equilibration.

So no answer depends on the units of an equation or of a variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy

#: Rounds of equilibration of rows and columns to length one, at most, and the change at which they end.
ROUNDS, EVEN = 32, 0.01
#: Share in a relation, relative to the largest, from which on a row may be the one that goes.
FAIR = 0.3
#: A pivot below this is as good as zero.
TINY = 1e-150
#: Coefficient of a row in base rows up to which an exchange would gain too little.
BALANCED = 2.0


def equilibrate(
    matrix: Array, rounds: int = ROUNDS, near: tuple[Array, Array] | None = None
) -> tuple[Array, Array, Array]:
    """Return R A C with rows and columns of lengths near one, and the diagonals of R and C; zero rows stay zero.

    Of a stack of matrices (…, m, n) each is taken for itself. `near` are diagonals for a matrix like this one, from
    which it takes fewer rounds.
    """
    if near is None:
        rows, columns = np.ones(matrix.shape[:-1]), np.ones((*matrix.shape[:-2], matrix.shape[-1]))
        scaled = matrix.astype(float)
    else:
        rows, columns = near[0].copy(), near[1].copy()
        scaled = rows[..., :, None] * matrix * columns[..., None, :]
    for _ in range(rounds):
        row = _inverse_root((scaled * scaled).sum(axis=-1))
        scaled *= row[..., :, None]
        column = _inverse_root((scaled * scaled).sum(axis=-2))
        scaled *= column[..., None, :]
        rows *= row
        columns *= column
        if max(np.abs(row - 1).max(initial=0.0), np.abs(column - 1).max(initial=0.0)) < EVEN:
            break
    return scaled, rows, columns


def _inverse_root(squares: Array) -> Array:
    """Return the inverse roots of lengths, given their squares."""
    return np.where(squares > 0, squares, 1.0) ** -0.25


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


def coefficients(matrices: Array, base: Sequence[int]) -> Array:
    """Return L with A = L A_base for each of many matrices, in the least squares, shape (N, m, r).

    An entry above 1 tells that the base spans a larger volume with that row in the place of the other: |L_ij| times
    the volume. Where the base rows are dependent, entries are huge.
    """
    q, upper = np.linalg.qr(matrices[:, list(base)].transpose(0, 2, 1))  # A_base = R^T Q^T, so R L^T = Q^T A^T
    diagonal = np.einsum("nii->ni", upper)
    diagonal[np.abs(diagonal) < TINY] = TINY
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.linalg.solve(upper, (matrices @ q).transpose(0, 2, 1)).transpose(0, 2, 1)
    return np.asarray(np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=np.inf), dtype=float)


def exchanged(matrix: Array, base: Sequence[int]) -> list[int]:
    """Return a base of (nearly) the largest volume, in increasing order, by exchanges of a base row for another.

    With all |L_ij| <= f its least singular value is within sqrt(1 + f^2 r (m - r)) of that of the whole: Gu and
    Eisenstat, SIAM J. Sci. Comput. 17 (1996). Each exchange makes the volume larger by more than f, so they end.
    """
    chosen = list(base)
    while True:
        share = np.abs(coefficients(matrix[None], chosen)[0])
        share[chosen] = 0.0
        row, place = np.unravel_index(int(np.argmax(share)), share.shape)
        if not share[row, place] > BALANCED:
            return sorted(chosen)
        chosen[place] = int(row)


def kernel_basis(part: Array, policy: RankPolicy) -> Array:
    """Return an orthonormal basis of the x with part x = 0, for entries that are of order one as they are."""
    if not part.size:
        return np.eye(part.shape[1])
    _, sigma, right = np.linalg.svd(part, full_matrices=True)
    return right[policy.decide(sigma, scale=1.0).rank :].T


def decide(matrix: Array, policy: RankPolicy, scale: float = 0.0) -> RankDecision:
    """Return the decision on the rank of a matrix as it is."""
    return policy.decide(np.linalg.svd(matrix, compute_uv=False), scale)


def decide_leading(
    matrix: Array, rank: int, policy: RankPolicy, near: tuple[Array, Array] | None = None
) -> RankDecision:
    """Return whether an equilibrated matrix still has a rank: the decision on that many largest singular values.

    `near` are diagonals that equilibrate a matrix like this one. Whatever diagonals show that rank, prove it; only a
    matrix that does not show it in these is equilibrated itself.
    """
    if near is not None:
        sigma = np.linalg.svd(near[0][:, None] * matrix * near[1], compute_uv=False)
        decision = policy.decide(sigma[:rank], scale=1.0)
        if decision.rank == rank:
            return decision
    return policy.decide(np.linalg.svd(equilibrate(matrix, near=near)[0], compute_uv=False)[:rank], scale=1.0)


def least_singular_values(matrices: Array, rank: int) -> Array:
    """Return the singular value number `rank` of each of many matrices (…, m, n): how far each is from less rank."""
    return np.asarray(np.linalg.svd(matrices, compute_uv=False)[..., rank - 1], dtype=float)


def weakest_direction(matrix: Array) -> Array:
    """Return the unit vector that a matrix with columns scaled to length one shrinks most."""
    lengths = np.linalg.norm(matrix, axis=0)
    return np.linalg.svd(matrix / np.where(lengths > 0, lengths, 1.0))[2][-1]


def polar(matrix: Array, policy: RankPolicy) -> tuple[Array, Array, Array]:
    """Return W, S and S^-1 of the polar decomposition D = W S, with S = 1 on ker D in the place of 0.

    W (n, K) is an isometry from range D^T to range D and 0 on ker D, S (K, K) is symmetric positive definite.
    """
    left, sigma, right = np.linalg.svd(matrix, full_matrices=False)
    r = policy.decide(sigma).rank
    left, sigma, right = left[:, :r], sigma[:r], right[:r]
    kernel = np.eye(matrix.shape[1]) - right.T @ right
    return left @ right, (right.T * sigma) @ right + kernel, (right.T / sigma) @ right + kernel


def singular_triplet(matrix: Array, number: int) -> tuple[float, Array, Array]:
    """Return the singular value of this number, from 1 for the largest, with its left and right singular vectors."""
    left, sigma, right = compact_svd(matrix)
    return float(sigma[number - 1]), left[:, number - 1], right[number - 1]


def compact_svd(matrix: Array) -> tuple[Array, Array, Array]:
    """Return U, the singular values from the largest, and V^T, of min(m, n) columns and rows."""
    left, sigma, right = np.linalg.svd(matrix, full_matrices=False)
    return left, sigma, right
