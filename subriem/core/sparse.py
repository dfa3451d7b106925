"""Large sparse systems: least-norm steps damped against a loss of rank, and the regularity of a square matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse import csc_array, eye_array

from subriem.core.protocols import Array
from subriem.core.rank import EPS, RankDecision, RankPolicy

#: First and largest damping, relative to rows of length one. The first one leaves in a step the share
#: 1e-13/sigma^2 of the residual, which the next step removes; the largest one shortens a step 10^4 times.
DAMPINGS = (1e-13, 1e4)
#: Least damping, where what is left of the residual lies in directions that the first one leaves.
LEAST = 1e-20
#: Factor of the damping after a step that failed, and its inverse after one that went well.
CHANGE = 100.0
#: A step that leaves more than this share of the residual is a poor one, and this many of them in a row end it.
POOR, PATIENCE = 0.9, 4
_POWERS = 12


def damped_step(matrix: csc_array, w: Array, damping: float) -> Array:
    """Return v = A^T (A A^T + damping)^{-1} w, by a sparse LU of [[1, A^T], [A, -damping]].

    Parameters
    ----------
    matrix : (m, n) csc_array
    w : (m,) ndarray
    damping : float
        > 0: so the matrix is regular whatever the rank of A.

    Examples
    --------
    >>> bool(np.allclose(damped_step(csc_array(np.array([[3.0, 4.0]])), np.array([5.0]), 1e-13), [0.6, 0.8]))
    True
    """
    from scipy.sparse import block_array
    from scipy.sparse.linalg import splu

    m, n = matrix.shape
    whole = block_array([[eye_array(n), matrix.T], [matrix, -damping * eye_array(m)]], format="csc")
    return splu(whole).solve(np.concatenate([np.zeros(n), w]))[:n]


def damped_gauss_newton(
    value: Callable[[Array], Array],
    jacobian: Callable[[Array], csc_array],
    u: Array,
    tolerance: float,
    steps: int = 60,
) -> Array:
    """Move u by damped least-norm steps until |value(u)| is below the tolerance, or falls no more.

    Parameters
    ----------
    value : callable
        u (n,) -> residual (m,), rows of the Jacobian of length about one.
    jacobian : callable
        u -> (m, n) csc_array.
    u : (n,) ndarray
    tolerance : float
    steps : int
        Largest number of Jacobians.

    Returns
    -------
    (n,) ndarray
    """
    damping, least, poor = DAMPINGS[0], DAMPINGS[0], 0
    residual = value(u)
    size = float(np.linalg.norm(residual))
    for _ in range(steps):
        if size <= tolerance or poor == PATIENCE:
            break
        matrix = jacobian(u)
        if not np.isfinite(matrix.data).all():
            break
        while damping <= DAMPINGS[1]:
            try:
                trial = u - damped_step(matrix, residual, damping)
            except RuntimeError:  # entries so large that the damping is lost beside them
                damping *= CHANGE
                continue
            with np.errstate(over="ignore", invalid="ignore"):  # such a step is rejected
                there = value(trial)
                reached = float(np.linalg.norm(there))
            if reached < size:
                break
            damping *= CHANGE
        else:
            break
        poor = poor + 1 if reached > POOR * size else 0
        if poor and damping == least:
            least = max(least / CHANGE, LEAST)
        damping = max(damping / CHANGE, least)
        u, residual, size = trial, there, reached
    return u


def row_lengths(matrix: csc_array) -> Array:
    """Return the lengths of the rows.

    Examples
    --------
    >>> row_lengths(csc_array(np.array([[3.0, 4.0], [0.0, 0.0]])))
    array([5., 0.])
    """
    return np.sqrt(np.bincount(matrix.indices, matrix.data**2, minlength=matrix.shape[0]))


def equilibrate_sparse(matrix: csc_array, rounds: int = 8) -> tuple[csc_array, Array, Array]:
    """Return R A C with rows and columns of lengths near one, and the diagonals of R and C; zero rows stay zero."""
    m, n = matrix.shape
    rows, columns = np.ones(m), np.ones(n)
    row_of, column_of = matrix.indices, np.repeat(np.arange(n), np.diff(matrix.indptr))
    entries = matrix.data.astype(float)
    for _ in range(rounds):
        row = _inverse_root(np.sqrt(np.bincount(row_of, entries**2, minlength=m)))
        entries = entries * row[row_of]
        column = _inverse_root(np.sqrt(np.bincount(column_of, entries**2, minlength=n)))
        entries = entries * column[column_of]
        rows, columns = rows * row, columns * column
    return csc_array((entries, matrix.indices, matrix.indptr), shape=(m, n)), rows, columns


def _inverse_root(lengths: Array) -> Array:
    return 1.0 / np.sqrt(np.where(lengths > 0, lengths, 1.0))


def regularity(matrix: csc_array, policy: RankPolicy) -> RankDecision:
    """Decide the rank of an equilibrated square matrix by its extreme singular values.

    They are estimated by powers of A^T A and of its inverse; a rank below full is an upper bound, and ambiguous.

    Examples
    --------
    >>> regularity(csc_array(np.diag([1.0, 2.0])), RankPolicy()).full
    True
    """
    from scipy.sparse.linalg import splu

    n = matrix.shape[0]
    scaled = equilibrate_sparse(matrix)[0]
    vector = np.random.default_rng(0).standard_normal(n)
    largest = _power(lambda x: scaled.T @ (scaled @ x), vector)
    try:
        solve: Any = splu(scaled).solve  # SciPy's stub has no transposed solve with two arguments
        smallest = 1.0 / _power(lambda x: solve(solve(x, "T")), vector)
    except RuntimeError:  # a pivot is zero
        smallest = 0.0
    return policy.decide([largest, smallest if smallest > EPS * largest else 0.0][:n], scale=1.0, size=n)


def _power(apply: Callable[[Array], Array], vector: Array) -> float:
    """Return the root of the largest eigenvalue of a positive matrix, from below."""
    size = 0.0
    for _ in range(_POWERS):
        vector = vector / np.linalg.norm(vector)
        vector = apply(vector)
        size = float(np.linalg.norm(vector))
        if not 0.0 < size < np.inf:
            return np.inf if size else 0.0
    return float(np.sqrt(size))
