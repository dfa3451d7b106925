"""The derivative array: the differentiation index and the freedom of a DAE by ranks at a consistent point.

Kunkel and Mehrmann, Differential-Algebraic Equations (2006), ch. 3; for equations of higher order, the state of the
equivalent first-order form is y_j, …, y_j^(o_j - 1) (y_j itself for an algebraic variable), o_j the order of y_j.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import rank_factor
from subriem.core.errors import InconsistentError
from subriem.core.protocols import Array
from subriem.core.rank import RankPolicy
from subriem.reduction.consistent import consistent_point
from subriem.reduction.dae import DAE
from subriem.reduction.prolongation import Place, Prolongation

#: Largest number of rows of a derivative array that is decomposed.
LARGEST = 400


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
    given = {place: value for place, value in known.items() if place in set(system.columns)}
    try:
        point = consistent_point(system, t, q, given, rank=policy)
    except InconsistentError:
        return None
    matrix = system.jacobian(t, point.jets, q)[:, :-1]
    level = np.array([order - state[j] for j, order in system.columns])
    n = len(orders)
    rank_all = rank_factor(matrix, policy).rank
    rank_rates = rank_factor(matrix[:, level >= 0], policy).rank
    rank_above = rank_factor(matrix[:, level > 0], policy).rank
    return ArrayRanks(times, n - (rank_rates - rank_above), rank_all - rank_rates, sum(state))


def differentiation_index(
    dae: DAE,
    structural: int,
    undetermined: int | None,
    t: float,
    q: Array,
    known: Mapping[Place, float],
    policy: RankPolicy,
) -> tuple[int | None, ArrayRanks | None]:
    """Return the least number of differentiations that determine all that can be determined, with the last ranks.

    Parameters
    ----------
    structural : int
        An upper bound where the system Jacobian is regular.
    undetermined : int or None
        What stays open at any number of differentiations; None if that is not known (hidden equations): then two
        more differentiations than structure asks for are tried.
    known : mapping
        Values of jets at a consistent point.
    """
    if undetermined is not None:
        index, last = structural, None
        while index > 1:  # a variable without derivatives needs one differentiation at least
            ranks = array_ranks(dae, index - 1, t, q, known, policy)
            if ranks is None:
                return None, None
            if ranks.undetermined > undetermined:
                return index, last
            index, last = index - 1, ranks
        return index, last
    found: list[ArrayRanks] = []
    for times in range(structural + 3):
        ranks = array_ranks(dae, times, t, q, known, policy)
        if ranks is None:
            return None, found[-1] if found else None
        found.append(ranks)
        if ranks.undetermined == 0:
            return times, ranks
    least = min(ranks.undetermined for ranks in found)
    return next(ranks.times for ranks in found if ranks.undetermined == least), found[-1]
