"""Equations that hide one of lower order: their combination takes the place of one of them.

Where u^T J = 0 for the system Jacobian J = d f_i^(c_i) / d y_j^(d_j), let I be the support of u, and k in I with the
least offset c. Then

    g = sum over I of u_i f_i^(c_i - c_k)

is free of the y_j^(d_j - c_k), so the heaviest transversal of the system with g in place of f_k weighs less: the
repair ends. If u holds no y_j^(d_j - c_k) itself, both systems have the same solutions: the linear-combination method
of Tan, Nedialkov and Pryce, Conversion methods for improving structural analysis of DAE systems, BIT 57 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import casadi as ca
import numpy as np

from subriem.core.equilibrated import independent_rows, rank_factor
from subriem.core.errors import RankError, ReductionError
from subriem.core.rank import RankPolicy
from subriem.reduction.consistent import ConsistentPoint
from subriem.reduction.dae import DAE
from subriem.reduction.elimination import solve_affine
from subriem.reduction.nearby import nearby_points
from subriem.reduction.newton import natural_sizes
from subriem.reduction.prolongation import Place, Prolongation
from subriem.reduction.stage import Stage

#: Derivative of a combination nearby, relative to its terms, above which they do not cancel.
VIOLATED = 1e-7
#: Random points at which a derivative of a combination has to vanish to be taken as absent, and their distance.
SAMPLES, SPREAD = 4, 0.1


@dataclass(frozen=True)
class Combination:
    """An equation that was replaced by a combination of itself and others.

    Attributes
    ----------
    equation : int
    others : tuple of int
        The other equations in it.
    times : tuple of int
        How often each of them is differentiated in it.
    dropped : bool
        Whether nothing is left: the equation follows from the others.
    """

    equation: int
    others: tuple[int, ...]
    times: tuple[int, ...] = ()
    dropped: bool = False


def combine(stage: Stage, policy: RankPolicy) -> tuple[DAE, Combination] | None:
    """Return the DAE with a hidden equation in the place of one that hides it, or None if that cannot be done.

    Redundant equations mislead the structure of the others: they are dropped first.

    Parameters
    ----------
    stage : Stage
        With at least one hidden equation.
    policy : RankPolicy
    """
    system, point, certificate = stage.system, stage.point, stage.certificate
    for equation, others in certificate.redundant.items():
        if others:  # else it was dropped before
            return _replaced(system, equation, ca.SX(0)), Combination(equation, others, dropped=True)
    for members in certificate.hidden_rows:
        k = min(members, key=lambda row: row[1])
        level = k[1]
        shifted = [(i, top - level) for i, top in members if i != k[0]]
        weights = _weights(system, k, shifted, point, policy)
        tops = [(j, order - level) for j, order in system.top_columns if order >= level]
        if weights is None or set(tops) & set(system.jets.places(weights)):
            continue
        parts = system.expressions([(k[0], 0), *shifted])
        _confirm(system, parts, ca.vertcat(1, weights), tops, stage.point, [i for i, _ in members])
        combined = _without_absent(system, parts, ca.vertcat(1, weights), set(tops), point, policy)
        others, times = tuple(i for i, _ in shifted), tuple(times for _, times in shifted)
        found = Combination(k[0], others, times, dropped=not system.jets.places(combined))
        return _replaced(system, k[0], combined), found
    return None


def _weights(
    system: Prolongation, row: Place, others: list[Place], point: ConsistentPoint, policy: RankPolicy
) -> ca.SX | None:
    """Return u in the other equations for 1 in the row, from as many columns of J as there are others."""
    if not others:
        return ca.SX(0, 1)
    equation, level = row
    tops = [(j, order - level) for j, order in system.top_columns if order >= level]
    values = system.sparse_block(point.t, point.jets, system.dae.data(point.t), others, tops).toarray()
    factor = rank_factor(values.T, policy)
    if factor.rank < len(others):
        return None
    columns = independent_rows(factor)
    unknowns = system.jets.stack([tops[j] for j in columns])
    matrix = ca.jacobian(system.expressions(others), unknowns)
    u = ca.SX.sym("u", len(others))
    balance = matrix.T @ u + ca.jacobian(system.expressions([(equation, 0)]), unknowns).T
    try:
        return solve_affine(ca.densify(balance), u, values[:, columns].T, policy)
    except ReductionError:
        return None


def _confirm(
    system: Prolongation, parts: ca.SX, weights: ca.SX, tops: list[Place], point: ConsistentPoint, members: list[int]
) -> None:
    """Check that the combination is free of the jets at `tops` at points nearby too, those of a later time included.

    Raises
    ------
    RankError
        If it is not: a row of J that vanishes at the point, t x' at t = 0, would be taken for an equation without x'.
    """
    q = system.dae.data(point.t)
    places = system.jets.places(ca.vertcat(parts, weights))
    arguments = [system.jets.t, system.jets.stack(places), system.q]
    gradient = ca.jacobian(parts, system.jets.stack(tops))
    function = ca.Function("G", arguments, [ca.densify(gradient), ca.densify(weights)])
    points = nearby_points(system, point, q)
    violated = 0
    for other in points:
        matrix, u = (answer.full() for answer in function(other.t, other.values(places), q))
        left, terms = np.abs(u.T @ matrix), np.abs(u).T @ np.abs(matrix)
        violated += bool((left > VIOLATED * terms).any())
    if violated and 2 * violated >= len(points):  # a single one may lie on another branch of solutions
        names = ", ".join(system.dae.equations[i] for i in members)
        raise RankError(
            f"the derivatives of highest order cancel in {names} at this point, and not nearby",
            f"t = {point.t:.6g}",
            "a point at which the rank is that of its neighbours",
            "another start, by at={…} or a later time",
        )


def _without_absent(
    system: Prolongation, parts: ca.SX, weights: ca.SX, tops: set[Place], point: ConsistentPoint, policy: RankPolicy
) -> ca.SX:
    """Return the combination with the numbers of the point for jets that stand in it without an effect.

    These are the jets it was made to be free of, and those whose derivatives in its parts cancel at random points.
    """
    combined = ca.dot(weights, parts)
    places = system.jets.places(ca.vertcat(parts, weights))
    if not places:
        return combined
    unknowns = system.jets.stack(places)
    values = point.values(places)
    arguments = [system.jets.t, unknowns, system.q]
    gradients = ca.Function("G", arguments, [ca.densify(ca.jacobian(parts, unknowns)), ca.densify(weights)])
    random, q = np.random.default_rng(0), system.dae.data(point.t)
    natural = dict(zip(system.columns, natural_sizes(system, point.t, q, point.jets), strict=True))
    sizes = np.array([natural[place] for place in places])
    remaining = np.zeros(len(places))
    for _ in range(SAMPLES):
        where = values + SPREAD * sizes * random.standard_normal(values.size)
        gradient, u = (answer.full() for answer in gradients(point.t, where, q))
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is not absent
            size, terms = np.abs(u.T @ gradient).ravel(), (np.abs(u).T @ np.abs(gradient)).ravel()
            share = size / np.where(terms > 0, terms, 1.0)
        remaining = np.maximum(remaining, np.where(np.isfinite(share), share, 1.0))
    absent = [n for n, place in enumerate(places) if place in tops or not policy.decide([remaining[n]], 1.0).rank]
    if not absent:
        return combined
    old = system.jets.stack([places[n] for n in absent])
    return ca.cse(ca.substitute(combined, old, ca.SX(ca.DM(values[absent]))))


def _replaced(system: Prolongation, equation: int, combined: ca.SX) -> DAE:
    """Return the DAE with another residual for one equation."""
    dae = system.dae
    residuals = system.expressions([(i, 0) for i in range(len(dae.equations))])
    residuals[equation] = combined
    places = system.jets.places(residuals)
    arguments = [system.jets.t, system.jets.stack(places), system.q]
    function = ca.Function("residual", arguments, [ca.cse(ca.densify(residuals))], ["t", "Y", "q"], ["f"])
    return replace(dae, places=tuple(places), function=function)
