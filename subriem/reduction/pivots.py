"""Sparse elimination of a linear system of CasADi expressions whose pivots are chosen on numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import casadi as ca
import numpy as np

from subriem.core.protocols import Array

#: A pivot may be this much smaller than the largest entry of its column (threshold pivoting): the usual compromise
#: between growth and fill (Duff, Erisman and Reid, Direct Methods for Sparse Matrices, 5.2).
THRESHOLD = 0.1
#: Asymmetry of a block, relative to its equilibrated entries, that counts as roundoff of the numbers given.
ASYMMETRY = 1e-9
#: Random points at which an identity is tested.
PROBES = 3
#: Largest block without safe pivots solved by orthogonalisation (its cost grows with the cube).
ORTHOGONAL = 12

Pair = tuple[int, int]


def equilibrate(matrix: Array) -> tuple[Array, Array]:
    """Return positive r (n, 1) and c (1, n) such that rows and columns of r A c have largest entries near 1."""
    scales = [np.ones((matrix.shape[0], 1)), np.ones((1, matrix.shape[1]))]
    for _ in range(4):
        for side, axis in enumerate((1, 0)):
            size = np.sqrt(np.abs(scales[0] * matrix * scales[1]).max(axis=axis, keepdims=True))
            scales[side] = scales[side] / np.where(size > 0, size, 1.0)
    return scales[0], scales[1]


def entries(matrix: ca.SX) -> list[tuple[int, int, ca.SX]]:
    """Return row, column and value of the structural nonzeros."""
    rows, columns = matrix.sparsity().get_triplet()
    return [(i, j, matrix[i, j]) for i, j in zip(rows, columns, strict=True)]


class Elimination:
    """Gaussian elimination in A x = b, on expressions and on their values at one point side by side.

    Parameters
    ----------
    matrix : casadi.SX
        A, sparse and square.
    right : casadi.SX
        b.
    values : (n, n) ndarray
        A at a regular point. Only the order of the pivots depends on it.

    Attributes
    ----------
    values : (n, n) ndarray
        The values, equilibrated, of what the elimination made of A so far.
    growth : float
        Largest of them met, 1 at the start.
    """

    def __init__(self, matrix: ca.SX, right: ca.SX, values: Array) -> None:
        size = right.numel()
        self.scales = equilibrate(values)
        self.values = self.scales[0] * values * self.scales[1]
        self.rows: list[dict[int, ca.SX]] = [{} for _ in range(size)]
        for i, j, entry in entries(matrix):
            self.rows[i][j] = entry
        self.right = [right[i] for i in range(size)]
        self.free_rows, self.free_columns = set(range(size)), set(range(size))
        self.above: dict[int, set[int]] = {j: {i for i in range(size) if j in self.rows[i]} for j in range(size)}
        self.done: list[tuple[int, int, dict[int, ca.SX]]] = []
        self.growth = 1.0

    def cost(self, pair: Pair) -> int:
        """Return Markowitz's bound of the fill that a pivot makes."""
        i, j = pair
        return (len(self.rows[i]) - 1) * (len(self.above[j]) - 1)

    def large(self, pair: Pair) -> bool:
        """Return whether the entry is at least `THRESHOLD` times the largest of its column, at the point."""
        i, j = pair
        return abs(self.values[i, j]) >= THRESHOLD * max(abs(self.values[k, j]) for k in self.above[j])

    def eliminate(self, pair: Pair) -> None:
        """Solve row i for x_j and substitute it in the other rows."""
        i, j = pair
        row = self.rows[i]
        pivot = row.pop(j)
        self.free_rows.remove(i)
        self.free_columns.remove(j)
        for k in row:
            self.above[k].discard(i)
        self.above[j].discard(i)
        for k in self.above[j]:
            other = self.rows[k]
            factor = other.pop(j) / pivot
            for column, entry in row.items():
                other[column] = other[column] - factor * entry if column in other else -factor * entry
                self.above[column].add(k)
            self.right[k] -= factor * self.right[i]
            self.values[k] -= self.values[k, j] / self.values[i, j] * self.values[i]
            self.values[k, j] = 0.0
            self.growth = max(self.growth, float(np.abs(self.values[k]).max()))
        # x_j is kept as (b_i - sum a_ik x_k)/a_ij
        self.done.append((i, j, {-1: pivot, **row}))

    def eliminate_greedily(self, candidates: Callable[[], Iterable[Pair]]) -> None:
        """Eliminate with the cheapest candidate as long as there is one."""
        while True:
            pair = min(candidates(), key=lambda pair: (self.cost(pair), -abs(self.values[pair])), default=None)
            if pair is None:
                return
            self.eliminate(pair)

    def constants(self) -> list[Pair]:
        """Return entries that are numbers and large: as pivots they vanish nowhere."""
        numbers = [(i, j) for i in sorted(self.free_rows) for j, e in self.rows[i].items() if e.is_constant()]
        return [pair for pair in numbers if self.large(pair)]

    def large_entries(self) -> list[Pair]:
        """Return all large entries of the rows that have fewest."""
        fewest = sorted(self.free_rows, key=lambda i: len(self.rows[i]))[:4]
        found = [(i, j) for i in fewest for j in self.rows[i] if self.large((i, j))]
        return found or [(i, j) for i in sorted(self.free_rows) for j in self.rows[i] if self.large((i, j))]

    def remainder(self) -> tuple[list[int], list[int], Array]:
        """Return the rows and columns not yet eliminated and the values there."""
        rows, columns = sorted(self.free_rows), sorted(self.free_columns)
        return rows, columns, self.values[np.ix_(rows, columns)]

    def probes(self) -> list[Array]:
        """Return the values of what remains at random points, to test an identity; NaN where it is not defined."""
        rows, columns, _ = self.remainder()
        matrix = ca.SX.zeros(len(rows), len(columns))
        for m, i in enumerate(rows):
            for n, j in enumerate(columns):
                if j in self.rows[i]:
                    matrix[m, n] = self.rows[i][j]
        symbols = ca.vertcat(*ca.symvar(matrix))
        function = ca.Function("probe", [symbols], [matrix])
        points = np.random.default_rng(0).uniform(0.2, 1.2, size=(PROBES, symbols.numel()))
        scale = self.scales[0][rows] * self.scales[1][:, columns]
        return [scale * np.asarray(ca.DM(function(point))) for point in points]

    def orthogonalise(self) -> dict[int, ca.SX]:
        """Solve what remains by Gram-Schmidt on its columns without square roots, the right side as last column.

        Every division is by the squared norm of a column's part orthogonal to those before it, which vanishes only
        where the matrix is singular. The modified form with b as a column is backward stable (Bjorck, BIT 7, 1967).
        """
        rows, columns, _ = self.remainder()
        columns = sorted(columns, key=lambda j: len(self.above[j]))
        vectors = [{i: self.rows[i][j] for i in rows if j in self.rows[i]} for j in columns]
        vectors.append({i: self.right[i] for i in rows})
        upper: list[dict[int, ca.SX]] = []
        for k in range(len(columns)):
            pivot = vectors[k]
            norm = sum((entry * entry for entry in pivot.values()), ca.SX(0))
            upper.append({})
            for later in range(k + 1, len(vectors)):
                shared = [i for i in pivot if i in vectors[later]]
                if shared:
                    factor = sum((pivot[i] * vectors[later][i] for i in shared), ca.SX(0)) / norm
                    upper[k][later] = factor
                    for i, entry in pivot.items():
                        vectors[later][i] = vectors[later].get(i, ca.SX(0)) - factor * entry
        solved: dict[int, ca.SX] = {}
        for k in reversed(range(len(columns))):
            value = upper[k].pop(len(columns), ca.SX(0))
            solved[columns[k]] = value - sum((f * solved[columns[m]] for m, f in upper[k].items()), ca.SX(0))
        return solved

    def substitute_back(self, solved: dict[int, ca.SX]) -> ca.SX:
        """Return x from the rows eliminated, in reverse, and what is already solved."""
        for i, j, row in reversed(self.done):
            value = self.right[i]
            for k, entry in row.items():
                if k >= 0:
                    value = value - entry * solved[k]
            solved[j] = value / row[-1]
        return ca.vertcat(*(solved[j] for j in range(len(self.rows))))


def solve_block(matrix: ca.SX, right: ca.SX, values: Array) -> tuple[ca.SX, str]:
    """Return x with A x = b for an irreducible sparse A, and the name of the way taken.

    Parameters
    ----------
    matrix, right : casadi.SX
    values : (n, n) ndarray
        A at a regular point.

    Notes
    -----
    A pivot chosen on numbers may vanish at another point. In this order:

    1. *1 x 1*: a division.
    2. *diagonal*: if A is, up to an order and a scaling of rows and columns by numbers, symmetric and definite, all
       orders of diagonal pivots do, and along a path a definite matrix stays so until it is singular: A = G M^-1 G^T
       for the multipliers of independent constraints. So does [[M, G^T], [G, 0]] with M definite, M first: a
       quasi-definite matrix (Vanderbei, SIAM J. Optim. 5, 1995).
    3. *constant*: entries that are numbers, then again 2 on what remains.
    4. *orthogonal*: Gram-Schmidt, regular wherever A is, up to `ORTHOGONAL` unknowns, as it fills.
    5. *threshold*: pivots large at the point given. Only near that point they are known not to vanish.
    """
    if right.numel() == 1:
        return right / matrix, "1 x 1"
    work = Elimination(matrix, right, values)
    if _eliminate_diagonally(work):
        return work.substitute_back({}), "diagonal"
    work.eliminate_greedily(work.constants)
    if not work.free_rows:
        return work.substitute_back({}), "constant"
    if _eliminate_diagonally(work):
        return work.substitute_back({}), "constant, diagonal"
    if len(work.free_rows) <= ORTHOGONAL:
        return work.substitute_back(work.orthogonalise()), "orthogonal"
    work.eliminate_greedily(work.large_entries)
    return work.substitute_back({}), "threshold"


def _eliminate_diagonally(work: Elimination) -> bool:
    """Eliminate what remains with pivots of known sign, if there are such."""
    rows, columns, values = work.remainder()
    probes = work.probes()
    for paired in (_largest_product(values), list(range(len(columns)))):
        groups = _signed_groups(values[:, paired], [probe[:, paired] for probe in probes])
        for group in groups:
            pairs = {rows[i]: columns[paired[i]] for i in group}
            work.eliminate_greedily(lambda pairs=pairs: [(i, j) for i, j in pairs.items() if i in work.free_rows])
        if groups:
            return True
    return False


def _largest_product(values: Array) -> list[int]:
    """Return for each row the column of a transversal with the largest product.

    For a definite matrix this is the diagonal, as a_ij^2 < a_ii a_jj; scalings and permutations do not change it.
    """
    from scipy.optimize import linear_sum_assignment  # loaded only where an elimination is made

    size = np.abs(values)
    logarithms = np.log(np.where(size > 0, size, 1e-300))
    return [int(j) for j in linear_sum_assignment(-logarithms)[1]]


def _signed_groups(values: Array, probes: Sequence[Array]) -> list[list[int]]:
    """Return the indices of M, then of the zero block, if A is a scaled [[M, G^T], [G, 0]] or M; else nothing.

    The scales must make A symmetric at the probes too: a chain can be made symmetric at any single point. A negative
    block in place of 0 will not do: a rotation [[c, s], [s, -c]] is regular also where c vanishes.
    """
    scales = _symmetrising(values)
    if scales is None or not all(_symmetric(matrix * scales) for matrix in (values, *probes)):
        return []
    symmetric = values * scales
    symmetric = (symmetric + symmetric.T) / 2
    first = np.flatnonzero(np.diag(symmetric))
    last = np.flatnonzero(np.diag(symmetric) == 0.0)
    head, border = symmetric[np.ix_(first, first)], symmetric[np.ix_(first, last)]
    if any(matrix[np.ix_(last, last)].any() for matrix in (values, *probes)):
        return []
    for sign in (1.0, -1.0):
        if _positive(sign * head) and _positive(border.T @ np.linalg.solve(sign * head, border)):
            return [group.tolist() for group in (first, last) if group.size]
    return []


def _positive(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _symmetrising(values: Array) -> Array | None:
    """Return the only d that can make A diag(d) symmetric, found along a spanning tree of the pattern, or None."""
    size = len(values)
    scales = np.full(size, np.nan)
    for root in range(size):
        if not np.isnan(scales[root]):
            continue
        scales[root], stack = 1.0, [root]
        while stack:
            i = stack.pop()
            for j in np.flatnonzero(values[i]):
                if values[j, i] == 0.0:
                    return None
                if np.isnan(scales[j]):
                    scales[j] = values[j, i] * scales[i] / values[i, j]
                    stack.append(int(j))
    return scales


def _symmetric(matrix: Array) -> bool:
    """Return whether A = A^T up to roundoff; a NaN is not."""
    return bool((np.abs(matrix - matrix.T) <= ASYMMETRY * np.abs(matrix).max()).all())


def describe(names: Sequence[str], limit: int = 6) -> str:
    """Return the names, shortened after `limit`."""
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
