"""Newton's method on the differentiated equations: all jets at once, or level by level, and when a point is one."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array, diags_array

from subriem.core.protocols import Array
from subriem.core.sparse import damped_gauss_newton, equilibrate_sparse, row_lengths
from subriem.reduction.protocols import JetSystem

#: Largest residual of a consistent point, relative to the terms of its equation.
TOLERANCE = 1e-9
#: Part of the largest value up to the same level that replaces the terms of an equation without larger ones, in units
#: that equilibrate the Jacobian: double roots are found no better.
NOTHING = 1e-3
#: Residual at which an iteration ends: far below the tolerance, since ranks are decided at the point.
FINE = 3e-14
#: Share of the residual above which a round was the last one.
POOR = 0.5
#: Rounds of scaling the equations by their gradients and iterating.
ROUNDS = 3
#: Length of the way on which a gradient must not collapse, relative to the size of each value.
ASIDE = 1e-8


def iterate(
    system: JetSystem,
    t: float,
    q: Array,
    base: Array,
    free: np.ndarray,
    scales: Array | None = None,
    rows: np.ndarray | None = None,
) -> Array:
    """Return the jets after damped Gauss-Newton rounds, the equations scaled anew by their gradients at each round.

    Parameters
    ----------
    base : ndarray
        Start.
    free : ndarray of int
        Positions of the jets that may move.
    scales : ndarray, optional
        Units of the jets: the change of least norm is taken in them. Unless given, those that equilibrate the
        Jacobian: so nothing depends on the units of the problem.
    rows : ndarray of int, optional
        Positions of the equations to satisfy, all unless given.
    """
    rows = np.arange(len(system.rows)) if rows is None else rows
    own = np.zeros(free.size)  # units that replace the others where they are not zero
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # a trial that overflows is rejected
        for count in range(ROUNDS):
            base, share = _round(system, t, q, base, rows, free, own, scales)
            if share > POOR and count == 0:
                return base
            if share > POOR or share == 0.0:
                break
        # at last each value is made as exact as its own size allows, whatever the size of the others
        return _round(system, t, q, base, rows, free, np.abs(base[free]), scales)[0]


def _round(
    system: JetSystem,
    t: float,
    q: Array,
    base: Array,
    rows: np.ndarray,
    free: np.ndarray,
    own: Array,
    scales: Array | None,
) -> tuple[Array, float]:
    """Return the jets after damped Gauss-Newton steps, and which share of the residual they left."""

    def gradients(jets: Array) -> csc_array:
        return csc_array(csc_array(system.sparse_jacobian(t, jets, q)[:, free])[rows])

    matrix = gradients(base)
    if not np.isfinite(matrix.data).all():
        return base, np.inf
    units = np.where(own > 0, own, equilibrate_sparse(matrix)[2] if scales is None else scales[free])
    weights = _inverse(row_lengths(csc_array(matrix @ diags_array(units))))

    def point(u: Array) -> Array:
        jets = base.copy()
        jets[free] += units * u
        return jets

    def value(u: Array) -> Array:
        return weights * system.residual(t, point(u), q)[rows]

    def jacobian(u: Array) -> csc_array:
        return csc_array(diags_array(weights) @ gradients(point(u)) @ diags_array(units))

    u = np.zeros(free.size)
    fine = FINE * (1 + float(np.abs(base[free] / units).max(initial=0.0)))
    before = float(np.linalg.norm(value(u)))
    if not np.isfinite(before):
        return base, np.inf
    if before <= fine:
        return base, 0.0
    u = damped_gauss_newton(value, jacobian, u, fine)
    return point(u), float(np.linalg.norm(value(u))) / before


def iterate_by_levels(
    system: JetSystem, t: float, q: Array, base: Array, moving: np.ndarray, scales: Array | None = None
) -> Array:
    """Return the jets after `iterate` on each level in turn: the f_i^(k + c_i) in the y_j^(k + d_j), k = -max d … 0.

    Where the offsets are right each level has full row rank, and all levels but the first ones are linear: no
    derivative is moved before what is differentiated has its value.

    Parameters
    ----------
    moving : ndarray of bool
        Which jets may move.

    References
    ----------
    Pryce, A simple structural analysis method for DAEs, BIT 41 (2001), section 4.
    """
    row_levels, column_levels = levels(system)
    for level in range(int(row_levels.min(initial=0)), 1):
        free = np.flatnonzero(moving & (column_levels == level))
        rows = np.flatnonzero(row_levels == level)
        if free.size and rows.size:
            base = iterate(system, t, q, base, free, scales, rows)
    return base


def levels(system: JetSystem) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels k - c_i of the equations and k - d_j of the jets: an equation holds none of a higher level."""
    rows = np.array([k - system.c[i] for i, k in system.rows], dtype=int)
    return rows, np.array([k - system.d[j] for j, k in system.columns], dtype=int)


def scaled_residuals(system: JetSystem, t: float, q: Array, jets: Array) -> Array:
    """Return each residual over the length of its gradient, which is about the distance to its zero set."""
    lengths = row_lengths(csc_array(system.sparse_jacobian(t, jets, q)[:, :-1]))
    return system.residual(t, jets, q) * _inverse(lengths)


def relative_residuals(system: JetSystem, t: float, q: Array, jets: Array) -> Array:
    """Return each |f_i| over sum_j |df_i/dy_j| |y_j|, the size of its terms, infinite at a singular point.

    The units of equations and variables cancel. Where all terms vanish, as at a double root, they are replaced by a
    small part of the largest value of the same level or a lower one, in units that equilibrate the Jacobian. Gradients
    are the least ones on a small way from the point: beside a point where it is infinite a gradient makes any residual
    look small (sqrt(y) = 1 at y = 1e-30).
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = np.abs(system.residual(t, jets, q))
        matrix = csc_array(system.sparse_jacobian(t, jets, q)[:, :-1])
        way = ASIDE * (1 + np.abs(jets)) * np.random.default_rng(0).standard_normal(jets.size)
        entries = np.abs(matrix.data)
        for aside in (jets + way, jets - way):
            entries = np.fmin(entries, np.abs(csc_array(system.sparse_jacobian(t, aside, q)[:, :-1]).data))
        if not (np.isfinite(values).all() and np.isfinite(entries).all()):
            return np.full(values.shape, np.inf)
        matrix = csc_array((entries, matrix.indices, matrix.indptr), shape=matrix.shape)
        _, rows, columns = equilibrate_sparse(matrix)
        row_levels, column_levels = levels(system)
        lowest = int(column_levels.min(initial=0))
        largest = np.ones(1 - lowest)
        np.maximum.at(largest, column_levels - lowest, np.abs(jets) / columns)
        largest = np.maximum.accumulate(largest)[np.maximum(row_levels - lowest, 0)]
        return values / (matrix @ np.abs(jets) + NOTHING * largest / rows)


def natural_sizes(system: JetSystem, t: float, q: Array, jets: Array) -> Array:
    """Return a size of each jet, at least its own: by which it changes some equation as much as all its terms do.

    It is 1 where nothing says more; a variable in other units has another size.
    """
    matrix = csc_array(abs(system.sparse_jacobian(t, jets, q)[:, :-1]))
    terms = matrix @ np.abs(jets)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        shares = terms[matrix.indices] / matrix.data
    sizes = np.full(jets.size, np.inf)
    usable = np.isfinite(shares) & (shares > 0)
    np.minimum.at(sizes, np.repeat(np.arange(jets.size), np.diff(matrix.indptr))[usable], shares[usable])
    return np.where(np.isfinite(sizes), sizes, 1.0)


def is_consistent(system: JetSystem, t: float, q: Array, jets: Array) -> bool:
    """Return whether the jets satisfy all equations within the tolerance."""
    return bool(relative_residuals(system, t, q, jets).max(initial=0.0) <= TOLERANCE)


def contradicted(system: JetSystem, t: float, q: Array, jets: Array, open_: np.ndarray) -> bool:
    """Return whether an equation is violated that holds none of the open jets."""
    matrix = csc_array(system.sparse_jacobian(t, jets, q)[:, np.flatnonzero(open_)])
    closed = np.bincount(matrix.indices, minlength=matrix.shape[0]) == 0
    return bool((relative_residuals(system, t, q, jets)[closed] > TOLERANCE).any())


def _inverse(lengths: Array) -> Array:
    return 1.0 / np.where(lengths > 0, lengths, 1.0)
