"""What the incidence of a DAE tells: offsets, index, freedom, parts and blocks (Pryce's Sigma-method)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from subriem.core.errors import ProblemError
from subriem.reduction.digraph import Ints, Mask, longest_paths, ordered_components
from subriem.reduction.matching import CoarseParts, coarse_parts, heaviest_matching, largest_matching, owners

if TYPE_CHECKING:
    from networkx import DiGraph

Names = tuple[tuple[str, ...], tuple[str, ...]]  # of equations, of variables

#: A report shows this many lines of a table, and this many names of a list.
SHOWN_LINES, SHOWN_NAMES = 20, 8


@dataclass(frozen=True, eq=False)
class Sigma:
    """The signature matrix, sparse: sigma_ij is the highest order of variable j in equation i, -inf where absent.

    Made by `from_entries`, which sorts by rows, then columns, and merges what occurs twice.

    Attributes
    ----------
    rows, cols, orders : (nnz,) ndarray of int
    shape : tuple of int
        (m, n): equations, variables.

    Examples
    --------
    >>> Sigma.from_entries([0, 0, 0], [1, 0, 1], [0, 1, 2], (1, 2)).orders
    array([1, 2])
    """

    rows: Ints
    cols: Ints
    orders: Ints
    shape: tuple[int, int]

    @classmethod
    def from_entries(cls, rows: ArrayLike, cols: ArrayLike, orders: ArrayLike, shape: tuple[int, int]) -> Sigma:
        """Return the matrix with these entries; of entries in the same place the highest order counts.

        Parameters
        ----------
        rows, cols, orders : (nnz,) array_like of int
        shape : tuple of int

        Returns
        -------
        Sigma

        Raises
        ------
        ProblemError
            If these are not integers of equal number, a place is outside the shape, or an order is negative.

        Examples
        --------
        >>> Sigma.from_entries([1], [0], [2], (2, 2)).shape
        (2, 2)
        """
        m, n = shape
        if not all(isinstance(count, int | np.integer) and count >= 0 for count in shape):
            raise ProblemError(
                "the shape of the signature matrix is not two counts", repr(shape), "(equations, variables)",
                "pass the lengths of the two lists of names",
            )  # fmt: skip
        bounds = {"rows": (rows, m), "cols": (cols, n), "orders": (orders, None)}
        i, j, order = (_indices(value, name, bound) for name, (value, bound) in bounds.items())
        if not i.size == j.size == order.size:
            raise ProblemError(
                "an entry of the signature matrix is a row, a column and an order",
                f"{i.size} rows, {j.size} columns, {order.size} orders",
                "the same number of each",
                "pass one of each for every variable of every equation",
            )
        ranked = np.lexsort((order, j, i))
        i, j, order = i[ranked], j[ranked], order[ranked]
        highest = np.ones(i.size, dtype=bool)  # the last of each place
        highest[:-1] = (np.diff(i) != 0) | (np.diff(j) != 0)
        return cls(i[highest], j[highest], order[highest], (int(m), int(n)))


@dataclass(frozen=True, eq=False)
class Part:
    """Some equations and some variables of a system.

    Attributes
    ----------
    rows : (k,) ndarray of int
        The equations.
    cols : (l,) ndarray of int
        The variables.
    """

    rows: Ints
    cols: Ints
    _names: Names = field(repr=False)

    @property
    def equations(self) -> tuple[str, ...]:
        """The names of the equations."""
        return tuple(self._names[0][i] for i in self.rows)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the variables."""
        return tuple(self._names[1][j] for j in self.cols)

    def __bool__(self) -> bool:
        return bool(self.rows.size or self.cols.size)


class Block(Part):
    """As many equations as variables, to be solved together; `cols[i]` is matched to `rows[i]`."""

    @property
    def size(self) -> int:
        """The number of equations."""
        return self.rows.size


@dataclass(frozen=True, eq=False)
class Structure:
    """What the incidence of a DAE tells; made by `analyse`.

    Attributes
    ----------
    equations, variables : tuple of str
        Names.
    c : (m,) ndarray of int
        How often each equation is differentiated.
    d : (n,) ndarray of int
        Highest order of each variable in the differentiated system.
    match : (m,) ndarray of int
        The variable matched to each equation by the heaviest transversal, -1 if none.
    index : int
        max c_i, plus 1 if some d_j = 0: the structural index of the equivalent first-order form.
    freedom : int
        sum d_j - sum c_i over the matched equations and their variables. For a system without over- and
        underdetermined part that is the number of initial values; else it counts matched rows only, so that neither
        the freedom of unmatched variables nor the conflict with unmatched equations is in it.
    blocks : tuple of Block
        Strong components of the well-determined part of the system Jacobian J = d f_i^(c_i) / d y_j^(d_j), in an order
        of solution: a block uses unknowns of itself and of earlier blocks.
    over, under : Part
        The Dulmage-Mendelsohn parts: more equations than variables, more variables than equations; empty if none.
    sigma : Sigma
        The signature matrix.
    """

    equations: tuple[str, ...]
    variables: tuple[str, ...]
    c: Ints
    d: Ints
    match: Ints
    index: int
    freedom: int
    blocks: tuple[Block, ...]
    over: Part
    under: Part
    sigma: Sigma

    @property
    def leading(self) -> Mask:
        """Which entries of `sigma` are in J: those with sigma_ij = d_j - c_i."""
        return _leading(self.sigma, self.c, self.d)

    def graph(self) -> DiGraph:
        """Return the graph of the blocks, an edge from each block to those that use its unknowns.

        Returns
        -------
        networkx.DiGraph
            Nodes are the positions in `blocks`, with attributes `equations`, `variables` (names) and `size`.

        Examples
        --------
        >>> chain = analyse(Sigma.from_entries([0, 1, 1], [0, 0, 1], [0, 1, 0], (2, 2)), variables=["x", "y"])
        >>> chain.graph().nodes[1]["variables"], list(chain.graph().edges)
        (('y',), [(0, 1)])
        """
        import networkx

        found: Any = networkx.DiGraph()
        place_of_row, place_of_col = np.full(len(self.equations), -1), np.full(len(self.variables), -1)
        for k, block in enumerate(self.blocks):
            found.add_node(k, equations=block.equations, variables=block.variables, size=block.size)
            place_of_row[block.rows], place_of_col[block.cols] = k, k
        ends = np.stack([place_of_col[self.sigma.cols], place_of_row[self.sigma.rows]])[:, self.leading]
        ends = ends[:, (ends >= 0).all(axis=0) & (ends[0] != ends[1])]
        found.add_edges_from(ends.T.tolist())
        return found

    def __str__(self) -> str:
        counts = f"{_counted(len(self.equations), 'equation')} in {_counted(len(self.variables), 'variable')}"
        singular = ", structurally singular" if self.over or self.under else ""
        lines = [f"{counts}: structural index {self.index}, freedom {self.freedom}{singular}"]
        partners = [self.variables[j] if j >= 0 else "none" for j in self.match]
        lines += _table(("equation", "c", "matched with"), [*zip(self.equations, self.c, partners, strict=True)])
        lines += _table(("variable", "d"), [*zip(self.variables, self.d, strict=True)])
        solved = [(k, _listed(b.equations), _listed(b.variables)) for k, b in enumerate(self.blocks, start=1)]
        lines += _table(("block", "equations", "for"), solved) if solved else []
        for name, part in (("overdetermined", self.over), ("underdetermined", self.under)):
            lines += [f"  {name}: {_listed(part.equations)} for {_listed(part.variables)}"] if part else []
        return "\n".join(lines)


def analyse(sigma: Sigma, equations: Sequence[str] | None = None, variables: Sequence[str] | None = None) -> Structure:
    """Analyse a system of any shape by its signature matrix.

    The heaviest transversal is found within the Dulmage-Mendelsohn parts and the strong components, which no
    transversal leaves. Among matchings of maximum cardinality the heaviest is taken, so a differential variable is
    matched before an algebraic one. The offsets are the least c, d >= 0 with d_j - c_i >= sigma_ij, equality on the
    transversal; an unmatched equation is then differentiated as often as it can be without raising any d_j. They do not
    depend on the order of equations and variables, except in an over- or underdetermined part with several heaviest
    matchings.

    Parameters
    ----------
    sigma : Sigma
    equations : sequence of str, optional
        Names, f0, f1, ... if not given.
    variables : sequence of str, optional
        Names, y0, y1, ... if not given.

    Returns
    -------
    Structure
        A structurally singular system is no error: its `over` and `under` tell.

    Raises
    ------
    ProblemError
        If the number of names is not that of the equations or variables.

    References
    ----------
    J. D. Pryce, A simple structural analysis method for DAEs, BIT 41 (2001).

    Examples
    --------
    The pendulum x'' = -lam x, y'' = -lam y - g, x^2 + y^2 = 1:

    >>> pendulum = Sigma.from_entries([0, 0, 1, 1, 2, 2], [0, 2, 1, 2, 0, 1], [2, 0, 2, 0, 0, 0], (3, 3))
    >>> print(analyse(pendulum, ["horizontal", "vertical", "rod"], ["x", "y", "lam"]))
    3 equations in 3 variables: structural index 3, freedom 2
      equation    c  matched with
      horizontal  0  lam
      vertical    0  y
      rod         2  x
      variable  d
      x         2
      y         2
      lam       0
      block  equations                  for
      1      horizontal, vertical, rod  lam, y, x
    """
    m, n = sigma.shape
    names = _named(equations, m, "equations", "f"), _named(variables, n, "variables", "y")
    match = largest_matching(sigma.rows, sigma.cols, np.full(m, -1), n)
    parts = coarse_parts(sigma.rows, sigma.cols, match, n)
    match, potential = _transversal(sigma, parts, match)
    c, d = _offsets(sigma, match, potential)
    taken = match >= 0
    return Structure(
        equations=names[0],
        variables=names[1],
        c=c,
        d=d,
        match=match,
        index=int(c.max(initial=0)) + int((d == 0).any()),
        freedom=int((d[match[taken]] - c[taken]).sum()),
        blocks=_blocks(sigma, match, _leading(sigma, c, d), parts, names),
        over=Part(np.flatnonzero(parts.over_rows), np.flatnonzero(parts.over_cols), names),
        under=Part(np.flatnonzero(parts.under_rows), np.flatnonzero(parts.under_cols), names),
        sigma=sigma,
    )


# --- the transversal and the offsets ------------------------------------------------------------------------


def _transversal(sigma: Sigma, parts: CoarseParts, match: Ints) -> tuple[Ints, Ints]:
    """Return the heaviest largest matching, and u with u_i + v_j >= sigma_ij for some v, equal on it.

    Prices of the components become prices of the whole when the columns of a component are raised, and its rows
    lowered, by enough more than those before it: entries between components lead to higher numbers.
    """
    rows, cols, orders, (m, n) = sigma.rows, sigma.cols, sigma.orders, sigma.shape
    row_component, col_component = _components(sigma, parts, match)
    inside = row_component[rows] == col_component[cols]
    over = inside & parts.over_rows[rows]  # here every column is matched, elsewhere every row
    rest = inside & ~over
    match, u, v = heaviest_matching(rows[rest], cols[rest], orders[rest], (m, n))
    owner, v_over, u_over = heaviest_matching(cols[over], rows[over], orders[over], (n, m))
    match = np.maximum(match, owners(owner, m))
    u, v = u + u_over, v + v_over
    lift = (orders - u[rows] - v[cols]).max(initial=0)
    return match, u - lift * row_component


def _components(sigma: Sigma, parts: CoarseParts, match: Ints) -> tuple[Ints, Ints]:
    """Return the component of each row and column: the underdetermined part, the strong ones, the overdetermined."""
    m, n = sigma.shape
    owner = owners(match, n)
    well = ~(parts.over_rows | parts.under_rows)
    inner = well[sigma.rows] & ~parts.over_cols[sigma.cols]
    of_row = 1 + ordered_components(sigma.rows[inner], owner[sigma.cols[inner]], m)
    of_row[parts.under_rows] = 0
    of_row[parts.over_rows] = m + 1
    of_col = np.zeros(n, dtype=np.int64)  # free columns belong to the underdetermined part
    of_col[match[match >= 0]] = of_row[match >= 0]
    return of_row, of_col


def _offsets(sigma: Sigma, match: Ints, potential: Ints) -> tuple[Ints, Ints]:
    """Return c and d: the least with d_j - c_i >= sigma_ij, equal on the transversal."""
    rows, cols, orders, (m, n) = sigma.rows, sigma.cols, sigma.orders, sigma.shape
    owner, on = owners(match, n), match[rows] == cols
    matched_order = np.zeros(m, dtype=np.int64)
    matched_order[rows[on]] = orders[on]
    # with d_j = sigma_ij + c_i on the transversal, another equation k of y_j wants c_i >= c_k + sigma_kj - sigma_ij
    other = ~on & (owner[cols] >= 0)
    i = owner[cols[other]]
    c = longest_paths(rows[other], i, orders[other] - matched_order[i], potential)
    d = np.zeros(n, dtype=np.int64)
    np.maximum.at(d, cols, orders + c[rows])
    # an unmatched equation has c = 0 so far, and is then differentiated as far as its variables are
    room = np.full(m, unlimited := np.iinfo(np.int64).max)
    np.minimum.at(room, rows, d[cols] - orders)
    return np.where((match < 0) & (room < unlimited), room, c), d


def _leading(sigma: Sigma, c: Ints, d: Ints) -> Mask:
    return sigma.orders == d[sigma.cols] - c[sigma.rows]


def _blocks(sigma: Sigma, match: Ints, leading: Mask, parts: CoarseParts, names: Names) -> tuple[Block, ...]:
    """Return the strong components of J in the well-determined part, makers of unknowns before their users."""
    well = ~(parts.over_rows | parts.under_rows)
    inner = leading & well[sigma.rows] & ~parts.over_cols[sigma.cols]
    users, makers = sigma.rows[inner], owners(match, sigma.shape[1])[sigma.cols[inner]]
    number = ordered_components(makers, users, match.size)
    rows = np.argsort(number, kind="stable")
    rows = rows[well[rows]]
    if not rows.size:
        return ()
    pieces = np.split(rows, np.flatnonzero(np.diff(number[rows])) + 1)
    return tuple(Block(piece, match[piece], names) for piece in pieces)


# --- checks and words ---------------------------------------------------------------------------------------


def _indices(values: ArrayLike, name: str, bound: int | None) -> Ints:
    """Return integers in [0, bound) as an array."""
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    hint = "read them from the incidence of the equations"
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ProblemError(
            f"the {name} of the signature matrix are not a list of integers",
            f"shape {array.shape}, dtype {array.dtype}", "one axis of integers", hint,
        )  # fmt: skip
    wrong = (array < 0) if bound is None else (array < 0) | (array >= bound)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ProblemError(
            f"the {name} of the signature matrix are out of range",
            f"{name}[{first}] = {array[first]}",
            "values >= 0" if bound is None else f"values from 0 to {bound - 1}",
            hint,
        )
    return array.astype(np.int64)


def _named(given: Sequence[str] | None, count: int, what: str, letter: str) -> tuple[str, ...]:
    if given is None:
        return tuple(f"{letter}{k}" for k in range(count))
    if isinstance(given, str) or len(given) != count:
        raise ProblemError(
            f"the names do not fit the {what}",
            repr(given) if isinstance(given, str) else f"{len(given)} names",
            f"a sequence of {count} names",
            f"pass {what}=None for {letter}0, {letter}1, ...",
        )
    return tuple(given)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _listed(names: Sequence[str]) -> str:
    """Return names with commas, long lists abbreviated."""
    if len(names) <= SHOWN_NAMES:
        return ", ".join(names) or "none"
    return ", ".join(names[: SHOWN_NAMES - 1]) + f", ... ({len(names)} in all)"


def _table(head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> list[str]:
    """Return the lines of an aligned table, its middle left out if it is long."""
    head_rows, tail_rows, between = list(rows), [], []
    if len(rows) > SHOWN_LINES:
        head_rows, tail_rows = list(rows[: SHOWN_LINES - 4]), list(rows[-3:])
        between = [f"  ... {len(rows) - len(head_rows) - len(tail_rows)} more ..."]
    cells = [tuple(str(cell) for cell in row) for row in [head, *head_rows, *tail_rows]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    cut = 1 + len(head_rows)
    return [*lines[:cut], *between, *lines[cut:]]
