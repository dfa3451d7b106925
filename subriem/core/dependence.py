"""Dependent rows of a Jacobian: which outputs move together, and the compression that removes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack, qr
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

from subriem.core.errors import ProblemError
from subriem.core.jacobian import ArrayJacobian, CompressedJacobian, Jacobian
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, DENSE_BYTES, EPS, GRAM_RESOLUTION, RankDecision, RankPolicy
from subriem.core.validate import real_array

#: Entries of the left-null projector of the normalised rows above this belong to a group of dependent rows.
PROJECTOR_TOLERANCE = 1e-6
#: Distance of the projections of two unit rows on a random direction below which they may be parallel.
NEIGHBOURS = 1e-8


@dataclass(frozen=True, eq=False)
class Dependence:
    """Groups of linearly dependent rows of D, and orthonormal bases of range D and its complement.

    Attributes
    ----------
    groups : tuple of tuple of int
        Row indices; a single index is a row that is zero.
    null : (n, m) ndarray
        Orthonormal basis of ker D^T; each column is supported on one group.
    basis : (n, n-m) csr_array
        Orthonormal basis S of the complement, identity outside the groups.
    decision : RankDecision
        Taken on the rows scaled to unit length, so that the scale of an output cannot hide or feign dependence.
    norms : (n,) ndarray, optional
        Lengths of the rows, a zero row counted as the median of the others; None takes them as equal.

    Examples
    --------
    >>> import numpy as np
    >>> found = dependent_rows(np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 6.0]]))
    >>> found.groups, found.nullity, found.basis.shape
    (((0, 2),), 1, (3, 2))
    """

    groups: tuple[tuple[int, ...], ...]
    null: Array
    basis: csr_array
    decision: RankDecision
    norms: Array | None = None

    @property
    def nullity(self) -> int:
        """Number of independent relations between the rows."""
        return self.null.shape[1]

    def compress(self, jacobian: Jacobian) -> Jacobian:
        """Return S^T D, or D itself if no rows are dependent."""
        return CompressedJacobian(jacobian, self.basis) if self.nullity else jacobian

    def defect(self, jacobian: Jacobian) -> float:
        """Return how far the relations are from holding in another D; roundoff as long as they persist.

        It is |D^T U z|/sqrt(m), with z random signs over the sum of |U_ij| |D_i|, in units of the rows of D now. So
        rows of different size count alike.
        """
        if not self.nullity:
            return 0.0
        rng = np.random.default_rng(0)
        norms = self.norms if self.norms is not None else np.ones(self.null.shape[0])
        terms = norms @ np.abs(self.null)
        lost = jacobian.vjp(self.null @ (rng.choice([-1.0, 1.0], self.nullity) / terms))
        rows = jacobian.vjp(rng.choice([-1.0, 1.0], norms.size) / norms)
        unit = float(np.linalg.norm(rows)) / np.sqrt(norms.size)
        return float(np.linalg.norm(lost)) / np.sqrt(self.nullity) / max(unit, 1e-300)


def dependent_rows(
    jacobian: Jacobian | ArrayLike, rank: RankPolicy = DEFAULT_RANK, *, memory: float = DENSE_BYTES
) -> Dependence:
    """Find the groups of dependent rows of D, for K >= n.

    Parameters
    ----------
    jacobian : (n, K) array_like or Jacobian
        With n <= K rows.
    rank : RankPolicy
        Applied to the singular values of D with rows scaled to unit length.
    memory : float
        Where D does not fit, the eigenvalues of the Gram are used and the floor is raised to their resolution 1e-7.

    Returns
    -------
    Dependence

    Raises
    ------
    ProblemError
        If D is not a finite real matrix.

    Notes
    -----
    The left null vectors of the scaled rows D_i/|D_i| give the projector N N^T; its blocks are the groups. It is
    unique, unlike the null vectors. For D itself, ker D^T = diag(1/|D_i|) range N.

    Examples
    --------
    >>> import numpy as np
    >>> dependent_rows(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [3.0, 6.0, 0.0]])).groups
    ((0, 2), (1,))
    """
    if not isinstance(jacobian, Jacobian):
        jacobian = ArrayJacobian(real_array(jacobian, "D", ndim=2))
    n, k = jacobian.shape
    if 8.0 * n * k <= memory:
        entries = jacobian.dense()
        norms = np.linalg.norm(entries, axis=1)
        safe = _safe(norms)
        # D^T = Q R: R has the singular values of D and R^T its left singular vectors
        triangle = np.triu(lapack.dgeqrf(np.asfortranarray((entries / safe[:, None]).T))[0][:n])
        left, sigma, _ = np.linalg.svd(triangle.T)
        policy, resolution = rank, EPS
    else:
        gram = jacobian.gram()
        norms = np.sqrt(gram.diagonal())
        safe = _safe(norms)
        values, left = np.linalg.eigh(gram / np.outer(safe, safe))
        sigma, left = np.sqrt(np.maximum(values[::-1], 0.0)), left[:, ::-1]
        floor = max(rank.floor(float(sigma[0])), GRAM_RESOLUTION * float(sigma[0]))
        policy, resolution = replace(rank, atol=floor or None), GRAM_RESOLUTION
    decision = policy.decide(sigma, resolution=resolution)
    kernel = left[:, decision.rank :]
    groups = _blocks(kernel @ kernel.T)
    return _from_kernel(kernel, safe, groups, decision)


def parallel_rows(rows: ArrayLike, rank: RankPolicy = DEFAULT_RANK) -> Dependence:
    """Find the groups of parallel (or zero) rows of any matrix.

    Parameters
    ----------
    rows : (n, m) array_like
        For relations that persist along a path, the Jacobians at several points side by side: left null vectors of
        one with K < n always exist and say nothing, but rows parallel at all points with one factor do.
    rank : RankPolicy
        Decides for each candidate group, scaled to unit length, whether it has rank 1 (or 0).

    Returns
    -------
    Dependence
        Its `decision` is that on all candidate groups together.

    Raises
    ------
    ProblemError
        If the matrix is not finite and real.

    Examples
    --------
    >>> import numpy as np
    >>> parallel_rows(np.array([[1.0, 2.0], [5.0, 0.0], [-2.0, -4.0], [0.0, 0.0]])).groups
    ((0, 2), (3,))
    """
    entries = real_array(rows, "rows", ndim=2)
    n, m = entries.shape
    norms = np.linalg.norm(entries, axis=1)
    safe = _safe(norms)
    unit = entries / safe[:, None]
    # parallel rows have equal projections, up to sign: candidates are neighbours among the sorted ones
    seen = np.abs(unit @ np.random.default_rng(0).standard_normal(m))
    order = np.argsort(seen)
    columns, values = [], [np.zeros(0)]
    for members in np.split(order, np.flatnonzero(np.diff(seen[order]) > NEIGHBOURS) + 1):
        left, sigma, _ = np.linalg.svd(unit[members])
        decision = rank.decide(np.concatenate([sigma, np.zeros(members.size - sigma.size)]), scale=1.0)
        if decision.rank > 1 or decision.rank == members.size or decision.ambiguous:
            continue
        kernel = np.zeros((n, members.size - decision.rank))
        kernel[members] = left[:, decision.rank :]
        columns.append(kernel)
        values.append(decision.sigma)
    kernel = np.hstack([np.zeros((n, 0)), *columns])
    decision = rank.decide(np.concatenate(values), scale=1.0)
    return _from_kernel(kernel, safe, _blocks(kernel @ kernel.T), decision)


def _safe(norms: Array) -> Array:
    """Return the row norms with their median for 0, so that they can divide."""
    if not np.isfinite(norms).all():
        row = int(np.argmin(np.isfinite(norms)))
        raise ProblemError(
            "the dependent rows of D cannot be found",
            f"|D_{row}| = {norms[row]}",
            "finite rows",
            "look for NaN or overflow in the Jacobian",
        )
    return np.where(norms > 0, norms, np.median(norms[norms > 0]) if norms.any() else 1.0)


def _blocks(projector: Array) -> tuple[tuple[int, ...], ...]:
    """Return the index sets of the diagonal blocks of a projector, up to a permutation."""
    rows, columns = np.nonzero(np.abs(projector) > PROJECTOR_TOLERANCE)
    n = projector.shape[0]
    graph = csr_array((np.ones(rows.size), (rows, columns)), shape=(n, n))
    _, labels = connected_components(graph, directed=False)
    touched = np.zeros(n, dtype=bool)
    touched[rows] = True
    order = {int(label): None for label in labels[touched]}
    return tuple(tuple(int(i) for i in np.flatnonzero(labels == label)) for label in order)


def _from_kernel(
    kernel: Array, norms: Array, groups: tuple[tuple[int, ...], ...], decision: RankDecision
) -> Dependence:
    n = kernel.shape[0]
    nulls: list[Array] = []
    rows, columns, values = [], [], []
    grouped = {i for group in groups for i in group}
    free = [i for i in range(n) if i not in grouped]
    rows.extend(free)
    columns.extend(range(len(free)))
    values.extend([1.0] * len(free))
    width = len(free)
    for group in groups:
        members = np.array(group)
        # relations of the scaled rows, then of D itself, orthonormal; scaled by the group's norm against overflow
        scale = norms[members] / norms[members].max()
        relations = _range_of_projector(kernel[members] @ kernel[members].T)
        # rows by decreasing size and columns pivoted: then QR is accurate row by row, however different the scales
        order = np.argsort(scale)
        frame = np.empty((members.size, members.size))
        frame[order] = qr((relations / scale[:, None])[order], pivoting=True)[0]
        count = relations.shape[1]
        null = np.zeros((n, count))
        null[members] = frame[:, :count]
        nulls.append(null)
        for j in range(count, len(group)):
            rows.extend(group)
            columns.extend([width] * len(group))
            values.extend(frame[:, j])
            width += 1
    null = np.hstack(nulls) if nulls else np.zeros((n, 0))
    basis = csr_array(coo_array((values, (rows, columns)), shape=(n, width)))
    return Dependence(groups, null, basis, decision, norms)


def _range_of_projector(block: Array) -> Array:
    """Return an orthonormal basis of the range of a projector: its eigenvalues are 0 and 1, cut at 1/2."""
    values, vectors = np.linalg.eigh(block)
    return vectors[:, values > 0.5]
