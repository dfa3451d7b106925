"""The rank of the system Jacobian along a path: decided at the nodes, its changes located between them."""

from __future__ import annotations

import numpy as np

from subriem.core.equilibrated import decide, equilibrate, rank_factor
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision
from subriem.integration.reduced import Nodes, ReducedSystem

#: Nodes of a piece at which the rank is decided: a decision costs as much as some steps.
LOOKS = 9
#: Entries of the Jacobians of a piece at most, to look for a change of sign.
ENTRIES = 1_000_000


def path_decisions(system: ReducedSystem, t: Array, z: Array, a: Array, q: Array) -> list[RankDecision | None]:
    """Return the decision at each node, None where none was taken; the first and the last are always looked at."""
    found: list[RankDecision | None] = [None] * t.size
    rows, columns = system.faces.reduced.numel_out(0), system.faces.reduced.numel_in(2)
    if not rows * columns:
        return found
    chosen = np.unique(np.linspace(0, t.size - 1, min(LOOKS, t.size)).astype(int))
    jacobians = system.jacobians(t[chosen], z[chosen], a[chosen], system.repeat(q, chosen.size))
    policy = system.reduction.policy
    for index, matrix in zip(chosen, jacobians, strict=True):
        if np.isfinite(matrix).all():
            found[index] = rank_factor(matrix, policy).decision
    return found


def cond_growth(system: ReducedSystem, t: float, z: Array, a: Array, q: Array) -> float:
    """Return cond J at a point over cond J at the start, both in the scaling of the start.

    Equilibrating anew would hide a row that shrinks to zero.
    """
    reduction = system.reduction
    point, where = reduction.consistent, reduction.system
    tops = point.values(where.top_columns)[None]
    first = system.reduced(
        np.array([point.t]), point.values(where.state_columns)[None], tops, reduction.dae.data(point.t)[None]
    )
    scaled, rows, columns = equilibrate(first[0])
    (now,) = system.jacobians(np.array([t]), z[None], a[None], q[None])
    if not np.isfinite(now).all():
        return np.inf
    before = decide(scaled, reduction.policy)
    after = decide(rows[:, None] * now * columns, reduction.policy, scale=before.sigma_max)
    return after.cond / before.cond


def sign_changes(system: ReducedSystem, nodes: Nodes, q: Array) -> list[tuple[float, int]]:
    """Return times at which det J changes its sign, with the node before: there J is singular though no node is."""
    rows, columns = system.faces.reduced.numel_out(0), system.faces.reduced.numel_in(2)
    if rows != columns or not rows or rows * columns * nodes.t.size > ENTRIES:
        return []
    signs, _ = np.linalg.slogdet(system.jacobians(nodes.t, nodes.z, nodes.a, system.repeat(q, nodes.t.size)))
    changes = np.flatnonzero(signs[:-1] * signs[1:] < 0)
    return [(_between(system, nodes, q, int(i)), int(i)) for i in changes]


def _between(system: ReducedSystem, nodes: Nodes, q: Array, i: int) -> float:
    """Locate the zero of det J on the straight line between two nodes, by bisection."""
    low, high = 0.0, 1.0
    (sign,) = np.linalg.slogdet(_jacobian_at(system, nodes, q, i, low))[0]
    for _ in range(60):
        middle = (low + high) / 2
        (here,) = np.linalg.slogdet(_jacobian_at(system, nodes, q, i, middle))[0]
        low, high = (middle, high) if here == sign else (low, middle)
    return float(nodes.t[i] + low * (nodes.t[i + 1] - nodes.t[i]))


def _jacobian_at(system: ReducedSystem, nodes: Nodes, q: Array, i: int, share: float) -> Array:
    pair = slice(i, i + 2)
    weights = np.array([1 - share, share])
    t, z, a = (np.atleast_1d(weights @ part[pair]) for part in (nodes.t, nodes.z, nodes.a))
    return system.jacobians(t, z[None], a[None], system.repeat(q, 1))
