"""Unknowns that stand linearly in equations, solved for symbolically: by substitution, and block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import casadi as ca
import numpy as np

from subriem.core.errors import ProblemError, ReductionError
from subriem.core.factor import SVDFactor
from subriem.core.jacobian import ArrayJacobian
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.reduction.pivots import THRESHOLD, describe, entries, equilibrate, solve_block

#: A substitution is made if it adds at most this many times the entries it removes: a body under two or three rods is
#: substituted, a hub that would couple dozens of multipliers with each other is left to the sparse elimination.
FILL = 4


@dataclass(frozen=True, eq=False)
class Explicit:
    """Equations after some unknowns have been solved for and substituted.

    Attributes
    ----------
    solved : casadi.SX
        Expressions of the solved unknowns in the kept unknowns and the other symbols.
    equations, unknowns : casadi.SX
        What remains.
    solved_index, kept_index : tuple of int
        Places in `a` of the solved and of the remaining unknowns.
    used_index, left_index : tuple of int
        Places in `g` of the equations used (in the order of `solved_index`) and of those that remain.
    """

    solved: ca.SX
    equations: ca.SX
    unknowns: ca.SX
    solved_index: tuple[int, ...]
    kept_index: tuple[int, ...]
    used_index: tuple[int, ...]
    left_index: tuple[int, ...]

    def complete(self, values: ca.SX) -> ca.SX:
        """Return all of `a`, in its order, from expressions of the remaining unknowns."""
        solved = ca.substitute(self.solved, self.unknowns, values) if self.unknowns.numel() else self.solved
        whole = ca.SX.zeros(len(self.solved_index) + len(self.kept_index))
        for places, part in ((self.solved_index, solved), (self.kept_index, values)):
            for k, place in enumerate(places):
                whole[place] = part[k]
        return ca.cse(whole)


def substitute_explicit(g: ca.SX, a: ca.SX, keep: Sequence[int] = ()) -> Explicit:
    """Solve for unknowns that stand in an equation with a constant coefficient, and substitute them in the others.

    Parameters
    ----------
    g : casadi.SX
        Equations g = 0.
    a : casadi.SX
        A column of symbols, the unknowns.
    keep : sequence of int
        Places in `a` of unknowns that must not be solved for.

    Returns
    -------
    Explicit

    Notes
    -----
    In each round pairs (equation, unknown) are taken greedily, those with the least fill first, such that the chosen
    square part of dg/da is diagonal: no solved unknown stands in the equation of another, so one substitution
    suffices. The coefficients are numbers, so nothing is divided by what could vanish elsewhere.

    Examples
    --------
    The pendulum: the accelerations leave, one equation in the multiplier stays.

    >>> x, y, u, v = (ca.SX.sym(name) for name in "xyuv")
    >>> a = ca.SX.sym("a", 3)  # x'', y'', lam
    >>> rod = x * a[0] + u**2 + y * a[1] + v**2
    >>> form = substitute_explicit(ca.vertcat(a[0] + a[2] * x, a[1] + a[2] * y + 9.81, rod), a)
    >>> form.solved_index, form.kept_index, form.left_index
    ((0, 1), (2,), (2,))
    """
    _check_column(a)
    kept, left = list(range(a.numel())), list(range(g.numel()))
    solved_index: list[int] = []
    used: list[int] = []
    solved, equations, unknowns = ca.SX(0, 1), g, a
    while pairs := _diagonal_pairs(ca.jacobian(equations, unknowns), {kept.index(j) for j in set(keep) & set(kept)}):
        rows, columns = [i for i, _, _ in pairs], [j for _, j, _ in pairs]
        symbols = _pick(unknowns, columns)
        rest_rows, rest_columns = _others(len(left), rows), _others(len(kept), columns)
        # g_i = c_i a_j + (terms without any chosen unknown)
        values = -ca.substitute(_pick(equations, rows), symbols, ca.SX.zeros(len(rows))) / ca.DM(
            [c for _, _, c in pairs]
        )
        solved = ca.vertcat(ca.substitute(solved, symbols, values), values)
        equations = ca.substitute(_pick(equations, rest_rows), symbols, values)
        unknowns = _pick(unknowns, rest_columns)
        solved_index += [kept[j] for j in columns]
        used += [left[i] for i in rows]
        kept, left = [kept[j] for j in rest_columns], [left[i] for i in rest_rows]
    both = ca.cse(ca.vertcat(solved, equations))
    return Explicit(
        _pick(both, range(len(used))),
        _pick(both, range(len(used), both.numel())),
        unknowns,
        tuple(solved_index),
        tuple(kept),
        tuple(used),
        tuple(left),
    )


def _pick(column: ca.SX, places: Sequence[int]) -> ca.SX:
    """Return the entries at the places; CasADi makes a 1 x 1 of no entry taken from a single one."""
    return column[list(places)] if places else ca.SX(0, 1)


def _others(size: int, chosen: Sequence[int]) -> list[int]:
    taken = set(chosen)
    return [i for i in range(size) if i not in taken]


def _diagonal_pairs(jacobian: ca.SX, excluded: set[int]) -> list[tuple[int, int, float]]:
    """Return (row, column, coefficient) of constant entries that form a diagonal part of the Jacobian."""
    rows: dict[int, set[int]] = {}
    columns: dict[int, set[int]] = {}
    constants: dict[tuple[int, int], float] = {}
    for i, j, entry in entries(ca.sparsify(jacobian)):
        rows.setdefault(i, set()).add(j)
        columns.setdefault(j, set()).add(i)
        if entry.is_constant():
            constants[i, j] = float(entry)
    largest = {i: max(abs(c) for (k, _), c in constants.items() if k == i) for i in {i for i, _ in constants}}
    candidates = []
    for (i, j), c in constants.items():
        across, down = len(rows[i]), len(columns[j])
        fill = (across - 1) * (down - 1)
        if j not in excluded and abs(c) >= THRESHOLD * largest[i] and fill <= FILL * (across + down - 1):
            candidates.append((fill, -abs(c) / largest[i], i, j))
    chosen: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, i, j in sorted(candidates):
        if i not in chosen and j not in taken and rows[i].isdisjoint(taken) and columns[j].isdisjoint(chosen):
            chosen[i] = j
            taken.add(j)
    return [(i, j, constants[i, j]) for i, j in chosen.items()]


def solve_affine(
    g: ca.SX,
    a: ca.SX,
    at: Callable[[ca.SX], Any] | Any,
    rank: RankPolicy = DEFAULT_RANK,
) -> ca.SX:
    """Return the unknowns of g(a) = 0, affine in a, as expressions in the other symbols.

    Parameters
    ----------
    g : casadi.SX
        As many equations as unknowns; each diagonal block of dg/da must be free of its own unknowns.
    a : casadi.SX
        A column of symbols.
    at : callable or array_like
        dg/da at a regular point, or a function that returns it, given the expression of dg/da. It decides in which
        order pivots are taken, and nothing else.
    rank : RankPolicy
        Decides whether a block, with rows and columns scaled to unit size, is regular there.

    Returns
    -------
    casadi.SX
        In the order of `a`, with common subexpressions shared.

    Raises
    ------
    ReductionError
        If the system is not square, structurally singular, not affine, or singular at the point; the unknowns are
        named.

    Notes
    -----
    The strong components of the pattern are solved one after the other, each by the way `pivots.solve_block` finds.

    Examples
    --------
    >>> x, a = ca.SX.sym("x"), ca.SX.sym("a", 2)
    >>> solve_affine(ca.vertcat(a[0] + x * a[1] - 1, a[1] - x), a, np.array([[1.0, 2.0], [0.0, 1.0]]))
    SX([(-(sq(x)-1)), x])
    """
    _check_column(a)
    names = [str(symbol) for symbol in ca.vertsplit(a)]
    if g.numel() != a.numel():
        raise ReductionError(
            "the equations do not determine the unknowns",
            f"{g.numel()} equations for {a.numel()} unknowns {describe(names)}",
            "as many equations as unknowns",
            "drop redundant equations, or fix free unknowns first",
        )
    jacobian = ca.sparsify(ca.jacobian(g, a))
    pattern = jacobian.sparsity()
    values = _values(jacobian, at)
    _check_structure(pattern, names)
    count, rows, columns, row_ends, column_ends, _, _ = pattern.btf()
    within = [set(row) for row in _columns_by_row(pattern)]
    solved: dict[int, ca.SX] = {}
    for k in range(count):
        i, j = rows[row_ends[k] : row_ends[k + 1]], columns[column_ends[k] : column_ends[k + 1]]
        block = values[np.ix_(i, j)]
        _check_regular(block, [names[m] for m in j], rank)
        known = sorted(set().union(*(within[m] for m in i)) & set(solved))
        equations = g[i]
        if known:
            equations = ca.substitute(equations, a[known], ca.vertcat(*(solved[m] for m in known)))
        solution = _solve_one(equations, a[j], block, [names[m] for m in j])
        solved.update((m, solution[n]) for n, m in enumerate(j))
    return ca.cse(ca.vertcat(*(solved[m] for m in range(a.numel()))))


def _solve_one(equations: ca.SX, unknowns: ca.SX, values: Array, names: Sequence[str]) -> ca.SX:
    matrix = ca.sparsify(ca.jacobian(equations, unknowns))
    if ca.depends_on(matrix, unknowns):
        raise ReductionError(
            f"the equations are not linear in {describe(names)}",
            f"d g / d a = {str(matrix)[:120]}",
            "coefficients free of the unknowns",
            "keep them as algebraic unknowns, for an implicit integrator",
        )
    right = -ca.substitute(equations, unknowns, ca.SX.zeros(unknowns.numel()))
    return solve_block(matrix, right, values)[0]


def _check_column(a: ca.SX) -> None:
    if not a.is_valid_input() or a.shape[1] != 1:
        raise ProblemError("the unknowns are not a column of symbols", str(a)[:120], "SX.sym('a', n)", "ca.vec(a)")


def _values(jacobian: ca.SX, at: Callable[[ca.SX], Any] | Any) -> Array:
    given = at(jacobian) if callable(at) else at
    values = given.full() if isinstance(given, ca.DM) else np.asarray(given, dtype=float)
    if values.shape != jacobian.shape or not np.isfinite(values).all():
        raise ProblemError(
            "the Jacobian at a point is not usable",
            f"shape {values.shape}, {np.count_nonzero(~np.isfinite(values))} entries not finite",
            f"finite numbers of shape {jacobian.shape}",
            "evaluate it at a consistent point",
        )
    return values


def _columns_by_row(pattern: ca.Sparsity) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(pattern.size1())]
    for i, j in zip(*pattern.get_triplet(), strict=True):
        found[i].append(j)
    return found


def _check_structure(pattern: ca.Sparsity, names: Sequence[str]) -> None:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    rows, columns = pattern.get_triplet()
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=pattern.shape)
    matched = maximum_bipartite_matching(graph, perm_type="row")
    if (matched < 0).any():
        raise ReductionError(
            "the equations are structurally singular",
            f"no equation is left for {describe([name for name, row in zip(names, matched, strict=True) if row < 0])}",
            "a transversal of the incidence",
            "differentiate a constraint more often, or fix the unknown",
        )


def _check_regular(block: Array, names: Sequence[str], rank: RankPolicy) -> None:
    rows, columns = equilibrate(block)
    decision = SVDFactor(ArrayJacobian(rows * block * columns), rank).decision
    if decision is None or not decision.full:
        raise ReductionError(
            f"the equations do not determine {describe(names)} at the point given",
            str(decision),
            f"rank {len(block)}",
            "another point, or the dependent equation dropped",
        )
