"""The certificate: is the system Jacobian regular at a consistent point, and if not, what follows from what.

Structure alone decides nothing where equations depend on each other in values: rank does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import independent_rows, rank_factor
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy
from subriem.reduction.prolongation import Prolongation

#: Share of the largest coefficient above which an equation or a variable is named in a relation.
NAMED = 1e-6


@dataclass(frozen=True, eq=False)
class Relation:
    """An equation that follows from others: row = sum of coefficients times rows, in the values at the point.

    Attributes
    ----------
    row : int
    others : tuple of int
        The rows it follows from.
    coefficients : tuple of float
    """

    row: int
    others: tuple[int, ...]
    coefficients: tuple[float, ...]


def relation(matrix: Array, base: Sequence[int], row: int, policy: RankPolicy) -> Relation | None:
    """Return how a row follows from the base rows, or None if it is independent of them."""
    chosen = [*base, row]
    factor = rank_factor(matrix[chosen], policy)
    known = rank_factor(matrix[list(base)], policy)
    if factor.rank > known.rank:
        return None
    # the null vector with the largest share in the new row, least |coefficients| on a dependent base
    share = factor.left @ factor.left[-1]
    weights = share * factor.rows
    coefficients = -weights[:-1] / weights[-1]
    lengths = np.linalg.norm(matrix[list(base)], axis=1)
    size = np.abs(coefficients) * lengths
    kept = np.flatnonzero(size > NAMED * max(float(size.max(initial=0.0)), 1e-300))
    return Relation(row, tuple(int(base[int(i)]) for i in kept), tuple(float(c) for c in coefficients[kept]))


@dataclass(frozen=True, eq=False)
class Certificate:
    """What rank says about the differentiated system at a consistent point.

    Attributes
    ----------
    decision : RankDecision
        Of the system Jacobian J = d f_i^(c_i) / d y_j^(d_j); of its least regular block where it is block triangular.
    base : tuple of int
        Equations (positions in `top_rows`) that determine the highest derivatives.
    redundant : mapping of int to tuple of int
        Equations that follow, with all their derivatives, from others -> those others.
    invariants : mapping of int to tuple of int
        Equations of which only the highest derivative follows from others: they restrict the start, not the motion.
    hidden : mapping of int to tuple of int
        Equations whose highest derivative meets J in the rows of others without following from them: together they
        hide an equation of lower order.
    kernel : (n, m) ndarray
        Orthonormal basis of what the base rows leave free of the highest derivatives.
    constraints : tuple of int
        Independent rows among `invariant_rows`: they span all constraints between states.
    """

    decision: RankDecision
    base: tuple[int, ...]
    redundant: dict[int, tuple[int, ...]]
    invariants: dict[int, tuple[int, ...]]
    hidden: dict[int, tuple[int, ...]]
    kernel: Array
    constraints: tuple[int, ...]


def certify(
    system: Prolongation,
    t: float,
    jets: Array,
    q: Array,
    policy: RankPolicy,
    blocks: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> Certificate:
    """Decide the rank of the system Jacobian at a consistent point, and what its dependent rows mean.

    Parameters
    ----------
    system : Prolongation
    t, jets, q
        The consistent point and the data.
    policy : RankPolicy
    blocks : sequence of (rows, columns), optional
        Diagonal blocks of a square block-triangular J: it is regular if they all are.
    """
    matrix = system.jacobian(t, jets, q)
    row_of = {place: index for index, place in enumerate(system.rows)}
    column_of = {place: index for index, place in enumerate(system.columns)}
    tops = [row_of[place] for place in system.top_rows]
    unknowns = [column_of[place] for place in system.top_columns]
    jacobian = matrix[np.ix_(tops, unknowns)]
    regular = _regular_by_blocks(jacobian, blocks, policy)
    if regular is not None:
        base, kernel, decision = list(range(len(tops))), np.zeros((len(unknowns), 0)), regular
        redundant, invariants, hidden = {}, {}, {}
    else:
        factor = rank_factor(jacobian, policy)
        base, decision = independent_rows(factor), factor.decision
        kernel = rank_factor(jacobian[base], policy).kernel()
        redundant, invariants, hidden = _explain(system, matrix, tops, base, policy)
    lower = [row_of[place] for place in system.invariant_rows]
    states = [column_of[place] for place in system.state_columns]
    constraints = independent_rows(rank_factor(matrix[np.ix_(lower, states)], policy)) if lower else []
    return Certificate(decision, tuple(base), redundant, invariants, hidden, kernel, tuple(constraints))


def _regular_by_blocks(
    jacobian: Array, blocks: Sequence[tuple[np.ndarray, np.ndarray]], policy: RankPolicy
) -> RankDecision | None:
    """Return the decision on the least regular block if every block is regular, else None."""
    if not blocks or jacobian.shape[0] != jacobian.shape[1]:
        return None
    worst: RankDecision | None = None
    for rows, columns in blocks:
        decision = rank_factor(jacobian[np.ix_(rows, columns)], policy).decision
        if not decision.full or decision.ambiguous:
            return None
        if worst is None or decision.cond > worst.cond:
            worst = decision
    return worst


def _explain(
    system: Prolongation, matrix: Array, tops: Sequence[int], base: Sequence[int], policy: RankPolicy
) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    """Sort the rows of J that depend on the base into redundant equations, invariants and hidden equations."""
    redundant: dict[int, tuple[int, ...]] = {}
    invariants: dict[int, tuple[int, ...]] = {}
    hidden: dict[int, tuple[int, ...]] = {}
    spare = [p for p in range(len(tops)) if p not in set(base)]
    active = [row for row in range(matrix.shape[0]) if row not in {tops[p] for p in spare}]
    for p in reversed(spare):  # of dependent equations the last one goes first
        equation = system.rows[tops[p]][0]
        own = [row for row in active if system.rows[row][0] == equation]
        rest = [row for row in active if row not in set(own)]
        found = relation(matrix, active, tops[p], policy)
        if found is None:
            hidden[equation] = _others(system, _within_top(matrix, system, tops, base, p, policy), equation)
            continue
        lower = [relation(matrix, rest, row, policy) for row in own]
        top = relation(matrix, rest, tops[p], policy)
        if top is not None and all(entry is not None for entry in lower):
            redundant[equation] = _others(system, top, equation)
            active = rest
        else:
            invariants[equation] = _others(system, found, equation)
    return redundant, invariants, hidden


def _within_top(
    matrix: Array, system: Prolongation, tops: Sequence[int], base: Sequence[int], p: int, policy: RankPolicy
) -> Relation:
    """Return how a dependent row of J combines from base rows."""
    place = {column: index for index, column in enumerate(system.columns)}
    unknowns = [place[column] for column in system.top_columns]
    restricted = np.zeros_like(matrix)
    restricted[:, unknowns] = matrix[:, unknowns]
    found = relation(restricted, [tops[b] for b in base], tops[p], policy)
    return found if found is not None else Relation(tops[p], (), ())


def _others(system: Prolongation, found: Relation, equation: int) -> tuple[int, ...]:
    return tuple(sorted({system.rows[row][0] for row in found.others} - {equation}))
