"""Matrix pencils E w' = A w: the motion they determine, modulo directions in which nothing moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import equilibrate, kernel_basis
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy


@dataclass(frozen=True, eq=False)
class TransversalMotion:
    """c' = M c for w = B c modulo the tangents; made by `transversal_motion`.

    Attributes
    ----------
    matrix : (f, f) ndarray
        M: its eigenvalues are the finite ones of the pencil, without the zeros that belong to the tangents.
    basis : (n, f) ndarray
        B.
    """

    matrix: Array
    basis: Array


def transversal_motion(E: Array, A: Array, tangents: Array, policy: RankPolicy) -> TransversalMotion | None:
    """Return the motions of E w' = A w modulo the tangents, or None where they are not determined.

    Parameters
    ----------
    E, A : (m, n) ndarray
        E may be singular, and equations may depend on each other.
    tangents : (l, k) ndarray
        Independent directions with A T = 0, in the first l <= n entries of w.
    policy : RankPolicy
        Decides the ranks, after rows and columns are equilibrated: no answer depends on units.

    Returns
    -------
    TransversalMotion, or None

    Notes
    -----
    The states that can move are the limit of Wong's sequence V_0 = R^n, V_{i+1} = {v: A v in E V_i}. There E is
    injective, up to directions w with E w = A w = 0 (multipliers of equations that depend on each other).

    References
    ----------
    T. Berger, A. Ilchmann and S. Trenn, The quasi-Weierstrass form for regular matrix pencils, Linear Algebra Appl. 436
    (2012) 4052-4069.

    Examples
    --------
    >>> import numpy as np
    >>> E, A = np.diag([1.0, 0.0]), np.array([[0.0, 1.0], [2.0, 1.0]])  # x' = u, u = -2 x
    >>> transversal_motion(E, A, np.zeros((2, 0)), RankPolicy()).matrix.round(12)
    array([[-2.]])
    """
    tangents = np.vstack([tangents, np.zeros((A.shape[1] - tangents.shape[0], tangents.shape[1]))])
    if E.shape[0] == E.shape[1] and (np.eye(len(E)) == E).all():
        across = kernel_basis(tangents.T, policy)
        motion = across.T @ A @ across
        return TransversalMotion((motion + motion.T) / 2 if np.array_equal(A, A.T) else motion, across)
    e, a = (float(np.abs(matrix).max(initial=0.0)) or 1.0 for matrix in (E, A))
    _, rows, columns = equilibrate(np.hypot(E / e, A / a))
    E, A = (rows[:, None] * matrix * columns for matrix in (E / e, A / a))
    moving = np.eye(A.shape[1])
    while True:
        algebraic = kernel_basis((E @ moving).T, policy)  # equations without a derivative
        allowed = kernel_basis(algebraic.T @ A @ moving, policy)
        if allowed.shape[1] == moving.shape[1]:
            break
        moving = moving @ allowed
    idle = kernel_basis(E @ moving, policy)
    if kernel_basis(A @ moving @ idle, policy).shape[1] < idle.shape[1]:
        return None
    moving = moving @ kernel_basis(idle.T, policy)
    q, upper = np.linalg.qr(E @ moving)
    motion = np.linalg.solve(upper, q.T @ A @ moving) * (a / e)
    inner = moving.T @ (tangents / columns[:, None])
    across = kernel_basis((inner / np.linalg.norm(inner, axis=0)).T, policy)
    return TransversalMotion(across.T @ motion @ across, columns[:, None] * (moving @ across))
