"""The adapted flow at an equilibrium: how far a point is from one, and the rates of the linearised flow there."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from subriem.core.errors import ProblemError
from subriem.core.factor import SVDFactor
from subriem.core.jacobian import MapJacobian
from subriem.core.protocols import Array, Cost, Map
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.validate import vector
from subriem.flows.theory import predicted_rate


def equilibrium_residual(source: Map, cost: Cost, theta: Any, rank: RankPolicy = DEFAULT_RANK) -> float:
    """Return |D^T grad_x C|/(sigma_max |grad_x C|), which is zero at an equilibrium of the flows of C.

    Parameters
    ----------
    source : Map
        theta (K,) -> x (n,).
    cost : Cost
    theta : (K,) array_like
    rank : RankPolicy
        Of the singular value decomposition; the result does not depend on it.

    Returns
    -------
    float
        In [0, 1]; 0 where grad_x C = 0, that is at a global minimum.

    Raises
    ------
    ProblemError
        If theta does not fit.

    Examples
    --------
    >>> from subriem.core.map import numpy_map
    >>> from subriem.flows.cost import squared_error
    >>> circle = numpy_map(lambda q: np.array([np.cos(q[0]), np.sin(q[0])]),
    ...                    lambda q: np.array([[-np.sin(q[0])], [np.cos(q[0])]]), 1, 2)
    >>> cost = squared_error([[2.0, 0.0]])
    >>> equilibrium_residual(circle, cost, [0.0]), equilibrium_residual(circle, cost, [np.pi / 2]) > 0.5
    (0.0, True)
    """
    theta = vector(theta, "theta", source.n_in)
    push = cost.gradient(source.value(theta))
    jacobian = MapJacobian(source, theta)
    size = float(np.linalg.norm(push)) * SVDFactor(jacobian, rank).extremes().sigma_max
    return float(np.linalg.norm(jacobian.vjp(push))) / size if size > 0 else 0.0


def local_rates(
    source: Map, cost: Cost, theta: Any, rank: RankPolicy = DEFAULT_RANK, *, tolerance: float = 1e-6
) -> Array:
    """Return the rates 2 kappa (1 + kappa_i) of the adapted flow linearised at an equilibrium where rank D = K.

    Parameters
    ----------
    source : Map
        theta (K,) -> x (n,), K <= n, with the capability "hvp" or "second".
    cost : Cost
        C = kappa |x - y|^2; 2 kappa = 1/N for the default factor.
    theta : (K,) array_like
        An equilibrium, D^T (x - y) = 0.
    rank : RankPolicy
        Decides whether D has rank K.
    tolerance : float
        Largest `equilibrium_residual` that counts as an equilibrium.

    Returns
    -------
    (K,) ndarray
        Increasing, per unit of s; negative for an unstable direction. kappa_i = eig(g^{-1} B), g = D^T D,
        B_kl = <x - y, d_k d_l x>, are the principal curvatures of the image in direction x - y, times |x - y|: below
        -1 where the image curves towards the target more sharply than a sphere about it.

    Raises
    ------
    ProblemError
        If D has no full column rank, theta is no equilibrium, the cost has no rate, or the map has no second
        derivatives.

    Notes
    -----
    Derived, see docs. The eigenvalues are those of R^{-T} B R^{-1} with D = Q R, which does not square cond D.

    Examples
    --------
    >>> import casadi as ca
    >>> from subriem.core.casadi_map import casadi_map
    >>> from subriem.flows.cost import squared_error
    >>> ellipse = casadi_map(lambda q: ca.vertcat(2 * ca.cos(q), ca.sin(q)), 1)
    >>> cost = squared_error([[0.0, 0.0]])
    >>> np.round([local_rates(ellipse, cost, [0.0]), local_rates(ellipse, cost, [np.pi / 2])], 12).ravel()
    array([-3.  ,  0.75])
    """
    theta = vector(theta, "theta", source.n_in)
    rate = predicted_rate(cost)
    factor = SVDFactor(MapJacobian(source, theta), rank)
    decision = factor.decision
    assert decision is not None
    if decision.rank < source.n_in:
        raise ProblemError(
            "local rates need a Jacobian of full column rank",
            f"{decision}, K = {source.n_in}",
            "rank D = K <= n",
            "a point where the image is immersed; elsewhere the equilibria form a manifold",
        )
    rank.report(decision, "in local_rates")
    residual = equilibrium_residual(source, cost, theta, rank)
    if not residual <= tolerance:
        raise ProblemError(
            "theta is no equilibrium",
            f"|D^T (x - y)|/(sigma_max |x - y|) = {residual:.1e}",
            f"at most {tolerance:g}",
            "the end of a longer run, or a larger tolerance",
        )
    hessian = _second_form(source, theta, cost.gradient(source.value(theta)) / rate)
    triangle = np.linalg.qr(factor.jacobian.dense(), mode="r")
    half = solve_triangular(triangle, hessian, trans="T")
    form = solve_triangular(triangle, half.T, trans="T")
    return np.asarray(rate * (1.0 + np.linalg.eigvalsh((form + form.T) / 2)), dtype=np.float64)


def _second_form(source: Map, theta: Array, rest: Array) -> Array:
    """Return B_kl = <rest, d_k d_l x>, symmetrized, shape (K, K)."""
    axes = np.eye(source.n_in)
    derivatives: Any = source
    if "hvp" in source.capabilities:
        columns: Array = np.array([derivatives.hvp(theta, rest, axis) for axis in axes], dtype=float)
    elif "second" in source.capabilities:
        columns = np.array([[rest @ derivatives.second(theta, u, v) for u in axes] for v in axes], dtype=float)
    else:
        raise ProblemError(
            "local rates need second derivatives",
            f"a map with capabilities {sorted(source.capabilities)}",
            '"hvp" or "second"',
            "sr.map(…) or sr.flows.network(…)",
        )
    return (columns + columns.T) / 2
