"""The certificate: is the system Jacobian regular at a consistent point, and if not, what follows from what.

Structure alone decides nothing where equations depend on each other in values: rank does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csc_array

from subriem.core.equilibrated import independent_rows, rank_factor
from subriem.core.protocols import Array
from subriem.core.rank import RankDecision, RankPolicy
from subriem.core.sparse import regularity
from subriem.reduction.newton import natural_sizes
from subriem.reduction.prolongation import Place, Prolongation

#: Share of the largest coefficient above which an equation or a variable is named in a relation.
NAMED = 1e-6
#: Derivative by t, relative to the terms of an equation, that is taken for zero.
ROUNDOFF = 1e-13
#: Way aside, relative to the size of each value, on which entries of J show how large they are.
ASIDE = 1e-2
#: Size of a diagonal block up to which all its singular values are computed; of a larger one the extremes.
SMALL = 300


#: Equations by position -> the others they follow from, or that they hide something with.
Named = dict[int, tuple[int, ...]]


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
    hidden_rows : tuple of tuple of (int, int)
        (i, c_i) of the dependent rows of J behind each of `hidden`.
    ahead : tuple of int
        Redundant equations that follow from higher derivatives of others than of themselves: x' = 0 beside x = 0.
    """

    decision: RankDecision
    base: tuple[int, ...]
    redundant: Named
    invariants: Named
    hidden: Named
    kernel: Array
    constraints: tuple[int, ...]
    hidden_rows: tuple[tuple[Place, ...], ...] = ()
    ahead: tuple[int, ...] = ()


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
    sparse = _without_accidents(system, t, jets, q, policy)
    row_of = {place: index for index, place in enumerate(system.rows)}
    column_of = {place: index for index, place in enumerate(system.columns)}
    tops = [row_of[place] for place in system.top_rows]
    unknowns = [column_of[place] for place in system.top_columns]
    jacobian = csc_array(sparse[tops][:, unknowns])
    lower = [row_of[place] for place in system.invariant_rows]
    regular = _regular_by_blocks(jacobian, blocks, policy)
    if regular is not None:
        # then the differentiated equations are independent level by level, and so are the constraints among them
        open_ = np.zeros((len(unknowns), 0))
        return Certificate(regular, tuple(range(len(tops))), {}, {}, {}, open_, tuple(range(len(lower))))
    matrix = _without_roundoff_in_time(sparse.toarray(), jets)
    factor = rank_factor(jacobian.toarray(), policy)
    base = independent_rows(factor)
    kernel = rank_factor(matrix[np.ix_([tops[p] for p in base], unknowns)], policy).kernel()
    found = _explain(system, matrix, tops, base, policy)
    states = [column_of[place] for place in system.state_columns]
    constraints = independent_rows(rank_factor(matrix[np.ix_(lower, states)], policy)) if lower else []
    return Certificate(
        factor.decision,
        tuple(base),
        found.redundant,
        found.invariants,
        found.hidden,
        kernel,
        tuple(constraints),
        tuple(found.hidden_rows),
        tuple(found.ahead),
    )


def _without_accidents(system: Prolongation, t: float, jets: Array, q: Array, policy: RankPolicy) -> csc_array:
    """Return the Jacobian without entries that vanish at the point up to roundoff: sin(pi) = 1.2e-16.

    Scaled up by equilibration they would feign a rank. They are told by their size aside of the point.
    """
    matrix = system.sparse_jacobian(t, jets, q)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        way = ASIDE * natural_sizes(system, t, q, jets) * np.random.default_rng(0).uniform(0.5, 1.0, jets.size)
        aside = [np.abs(system.sparse_jacobian(t, jets + sign * way, q).data) for sign in (1.0, -1.0)]
    largest = np.fmax(*aside)  # the places of entries do not depend on the point
    accident = np.isfinite(largest) & (np.abs(matrix.data) <= policy.rtol * largest)
    return csc_array((np.where(accident, 0.0, matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _without_roundoff_in_time(matrix: Array, jets: Array) -> Array:
    """Return the Jacobian with a zero derivative by t where it is roundoff: c(t) f has c' f = 0 on the solution."""
    terms = np.abs(matrix[:, :-1]) @ (1 + np.abs(jets))
    matrix[np.abs(matrix[:, -1]) <= ROUNDOFF * terms, -1] = 0.0
    return matrix


def _regular_by_blocks(
    jacobian: csc_array, blocks: Sequence[tuple[np.ndarray, np.ndarray]], policy: RankPolicy
) -> RankDecision | None:
    """Return the decision on the least regular block if every block is regular, else None."""
    if not blocks or jacobian.shape[0] != jacobian.shape[1]:
        return None
    rows, columns = (np.array([b[k][0] for b in blocks if b[0].size == 1], dtype=int) for k in (0, 1))
    single = csc_array(jacobian[rows][:, columns]).diagonal()
    if not single.all():
        return None
    worst = policy.decide(np.ones(min(single.size, 1)))
    for rows, columns in blocks:
        if rows.size == 1:
            continue
        block = csc_array(jacobian[rows][:, columns])
        decision = regularity(block, policy) if rows.size > SMALL else rank_factor(block.toarray(), policy).decision
        if not decision.full or decision.ambiguous:
            return None
        if worst.size == 0 or decision.cond > worst.cond:
            worst = decision
    return worst


@dataclass
class _Explanation:
    """What dependent rows of J mean, as in `Certificate`."""

    redundant: Named = field(default_factory=dict)
    invariants: Named = field(default_factory=dict)
    hidden: Named = field(default_factory=dict)
    hidden_rows: list[tuple[Place, ...]] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)


def _explain(
    system: Prolongation, matrix: Array, tops: Sequence[int], base: Sequence[int], policy: RankPolicy
) -> _Explanation:
    """Sort the equations whose rows of J depend on the base rows."""
    said = _Explanation()
    spare = [p for p in range(len(tops)) if p not in set(base)]
    active = list(range(matrix.shape[0]))
    for p in reversed(spare):  # of dependent equations the last one goes first
        active.remove(tops[p])
        equation = system.rows[tops[p]][0]
        own = [row for row in active if system.rows[row][0] == equation]
        rest = [row for row in active if row not in set(own)]
        found = relation(matrix, active, tops[p], policy)
        if found is None:
            together = _within_top(matrix, system, tops, base, p, policy)
            said.hidden[equation] = _others(system, together, equation)
            said.hidden_rows.append(tuple(system.rows[row] for row in (tops[p], *together.others)))
            continue
        whole = [entry for row in (*own, tops[p]) if (entry := relation(matrix, rest, row, policy)) is not None]
        if len(whole) <= len(own):
            said.invariants[equation] = _others(system, found, equation)
            continue
        said.redundant[equation] = _others(system, whole[-1], equation)
        active = rest
        if any(system.rows[other][1] > system.rows[entry.row][1] for entry in whole for other in entry.others):
            said.ahead.append(equation)
    return said


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
