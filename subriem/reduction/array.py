"""The derivative array: the differentiation index and the freedom of a DAE by ranks at a consistent point.

Kunkel and Mehrmann, Differential-Algebraic Equations (2006), ch. 3; for equations of higher order, the state of the
equivalent first-order form is y_j, …, y_j^(o_j - 1) (y_j itself for an algebraic variable), o_j the order of y_j.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import casadi as ca
import numpy as np
from scipy.sparse import csc_array

from subriem.core.equilibrated import rank_factor
from subriem.core.errors import InconsistentError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.core.sparse import equilibrate_sparse
from subriem.reduction.consistent import ConsistentPoint, consistent_point
from subriem.reduction.dae import DAE
from subriem.reduction.prolongation import Place, Prolongation

#: Largest number of rows of a derivative array that is decomposed.
LARGEST = 250
#: Largest number of operations in it.
NODES = 20_000


@dataclass(frozen=True)
class ArrayRanks:
    """Ranks of the array (F, F', …, F^(times)) at a consistent point.

    Attributes
    ----------
    times : int
    undetermined : int
        Dimension of what the array leaves open of the first derivatives of the state.
    constraints : int
        Number of independent equations it implies between the states.
    states : int
        Number of states of the first-order form.
    """

    times: int
    undetermined: int
    constraints: int
    states: int


def array_ranks(
    dae: DAE, times: int, t: float, q: Array, known: Mapping[Place, float], policy: RankPolicy
) -> ArrayRanks | None:
    """Return the ranks of the array of `times` derivatives, or None if it is too large or has no consistent point."""
    if len(dae.equations) * (times + 1) > LARGEST:
        return None
    orders = dae.orders
    state = [max(order, 1) for order in orders]
    system = Prolongation(dae, [times] * len(dae.equations), [order + times for order in orders])
    if ca.n_nodes(system.expressions(system.rows)) > NODES:
        return None
    point = _array_point(system, state, t, q, known, policy)
    if point is None:
        return None
    matrix = system.jacobian(t, point.jets, q)[:, :-1]
    level = np.array([order - state[j] for j, order in system.columns])
    n = len(orders)
    rank_all = rank_factor(matrix, policy).rank
    rank_rates = rank_factor(matrix[:, level >= 0], policy).rank
    rank_above = rank_factor(matrix[:, level > 0], policy).rank
    return ArrayRanks(times, n - (rank_rates - rank_above), rank_all - rank_rates, sum(state))


def _array_point(
    system: Prolongation, state: Sequence[int], t: float, q: Array, known: Mapping[Place, float], policy: RankPolicy
) -> ConsistentPoint | None:
    """Return a consistent point with the known values, or else with those of the state: rates may have been guesses."""
    places = set(system.columns)
    given = {place: value for place, value in known.items() if place in places}
    for held in (given, {place: value for place, value in given.items() if place[1] < state[place[0]]}):
        try:
            return consistent_point(system, t, q, held, rank=policy)
        except InconsistentError:
            continue
    return None


def structural_index_holds(
    jacobian: csc_array, c: np.ndarray, d: np.ndarray, orders: np.ndarray, undetermined: int, policy: RankPolicy
) -> bool:
    """Return whether the structural index nu is the differentiation index, without an array, for J of full row rank.

    Parameters
    ----------
    jacobian : (m, n) csc_array
        J in the rows of independent equations.
    c, d, orders : (m,), (n,), (n,) ndarray of int
        Offsets, and the order of each variable in the equations.
    undetermined : int
        Dimension of ker J.
    policy : RankPolicy

    Notes
    -----
    Let C = max c, and differentiate all equations nu - 1 times, which is C times if some d_j = 0 and C - 1 times if
    none is. Of the equations f_i^(c_i + s), s = nu - C, which determine y^(d + s), those with c_i = C are missing. So a
    u that J annihilates in the other rows may be added to y^(d + s); what is of higher order adapts, since its rows of
    J are independent. If u moves a first derivative of the state, an order d_j + s = max(o_j, 1), one differentiation
    more is needed.
    """
    top = int(c.max(initial=0))
    beyond = int((d == 0).any())
    moved = d + beyond == np.maximum(orders, 1)
    if not moved.any():
        return False
    scaled = equilibrate_sparse(jacobian)[0]
    if undetermined or scaled.shape[0] != scaled.shape[1]:
        kernel = rank_factor(scaled.toarray()[c < top], policy).right
        return kernel[moved].size > 0 and rank_factor(kernel[moved], policy).rank > undetermined
    from scipy.sparse.linalg import splu

    right = np.where(c == top, np.random.default_rng(0).standard_normal(c.size), 0.0)
    u = np.abs(splu(scaled).solve(right))
    return policy.decide([u[moved].max()], scale=float(u.max())).rank > 0


def differentiation_index(
    dae: DAE,
    upper: int | None,
    undetermined: int,
    t: float,
    q: Array,
    known: Mapping[Place, float],
    policy: RankPolicy,
) -> int | None:
    """Return the least number of differentiations that determine all that can be determined.

    None where an array is too large or has no consistent point.

    Parameters
    ----------
    upper : int or None
        The structural index where the system Jacobian is regular: differentiations are taken back while nothing more
        is open. None where equations hid others: then they are added until nothing more is open.
    undetermined : int
        What stays open at any number of differentiations.
    known : mapping
        Values of jets at a consistent point.
    """
    if upper is not None:
        for times in reversed(range(upper)):
            ranks = array_ranks(dae, times, t, q, known, policy)
            if ranks is None:
                return None
            if ranks.undetermined > undetermined:
                return times + 1
        return 0
    for times in range(sum(max(order, 1) for order in dae.orders) + 1):
        ranks = array_ranks(dae, times, t, q, known, policy)
        if ranks is None:
            return None
        if ranks.undetermined <= undetermined:
            return times
    return None
