"""Matchings of a sparse bipartite graph: largest, heaviest, and the parts of the graph they tell apart.

A graph is given by its entries, `rows` and `cols`, none twice. A matching is an array with the column of each row, -1
where there is none. Maximum flows by Dinic's algorithm stand where `scipy.sparse.csgraph.maximum_bipartite_matching`
would be called (by `min_weight_full_bipartite_matching` too): that one takes exponential time on layered graphs, 14 s
on a grid of 60 x 60 (https://github.com/scipy/scipy/issues/26147).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import dijkstra, maximum_flow

from subriem.reduction.digraph import Ints, Mask, directed_graph, reachable


def owners(match: Ints, n: int) -> Ints:
    """Return the row matched to each of n columns, -1 where there is none."""
    owner = np.full(n, -1)
    taken = np.flatnonzero(match >= 0)
    owner[match[taken]] = taken
    return owner


def largest_matching(rows: Ints, cols: Ints, match: Ints, n: int) -> Ints:
    """Enlarge a matching until none has more entries; what is matched stays matched, to another partner perhaps.

    A flow of unit capacities goes from free rows along unmatched entries to columns, back along matched entries to
    rows, and ends at free columns. Its paths exchange matched and unmatched entries.

    Parameters
    ----------
    rows, cols : (nnz,) ndarray of int
    match : (m,) ndarray of int
        All -1 to begin with nothing.
    n : int
        Number of columns.

    Returns
    -------
    (m,) ndarray of int

    Examples
    --------
    >>> largest_matching(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0, -1]), 2)
    array([1, 0])
    """
    m = match.size
    taken, free, idle = np.flatnonzero(match >= 0), np.flatnonzero(match < 0), np.flatnonzero(owners(match, n) < 0)
    unmatched = match[rows] != cols
    source, sink = m + n, m + n + 1
    tails = np.concatenate([rows[unmatched], m + match[taken], np.full(free.size, source), m + idle])
    heads = np.concatenate([m + cols[unmatched], taken, free, np.full(idle.size, sink)])
    network = directed_graph(tails, heads, np.ones(tails.size, dtype=np.int32), m + n + 2)
    flow = maximum_flow(network, source, sink, method="dinic").flow.tocoo()
    used = (flow.data > 0) & (flow.row < m)  # entries on a path; the matched ones lead from columns to rows
    match = match.copy()
    match[flow.row[used]] = flow.col[used] - m
    return match


def heaviest_matching(rows: Ints, cols: Ints, weights: Ints, shape: tuple[int, int]) -> tuple[Ints, Ints, Ints]:
    """Return the heaviest matching of all rows that have entries, and the prices that prove it.

    The Hungarian method, all shortest augmenting paths at once. Prices u, v obey u_i + v_j >= w_ij with equality on the
    matching, v >= 0, and v = 0 for free columns: so no matching of these rows weighs more than sum u + sum v.

    Parameters
    ----------
    rows, cols, weights : (nnz,) ndarray of int
        Weights >= 0. The rows that occur must be matchable together.
    shape : tuple of int
        (m, n).

    Returns
    -------
    match : (m,) ndarray of int
    u : (m,) ndarray of int
        0 for rows without entries.
    v : (n,) ndarray of int

    References
    ----------
    R. Burkard, M. Dell'Amico, S. Martello, Assignment Problems, SIAM 2009, chapter 4.

    Examples
    --------
    >>> heaviest_matching(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.array([2, 1, 2, 0]), (2, 2))
    (array([1, 0]), array([1, 1]), array([1, 0]))
    """
    m, n = shape
    u, v, match = np.zeros(m, dtype=np.int64), np.zeros(n, dtype=np.int64), np.full(m, -1)
    np.maximum.at(u, rows, weights)
    present = np.unique(rows)
    while True:
        slack = u[rows] + v[cols] - weights
        match = largest_matching(rows[slack == 0], cols[slack == 0], match, n)
        free = present[match[present] < 0]
        if not free.size:
            return match, u, v
        taken, idle = np.flatnonzero(match >= 0), np.flatnonzero(owners(match, n) < 0)
        tails, heads = np.concatenate([rows, m + match[taken]]), np.concatenate([m + cols, taken])
        lengths = np.concatenate([slack, np.zeros(taken.size)])
        distance = dijkstra(directed_graph(tails, heads, lengths, m + n), indices=free, min_only=True)
        nearest = distance[m + idle].min()  # of the free columns; the shortest paths to these become tight
        change = (nearest - np.minimum(distance, nearest)).astype(np.int64)
        u -= change[:m]
        v += change[m:]


@dataclass(frozen=True, eq=False)
class CoarseParts:
    """The Dulmage-Mendelsohn parts as masks; what is in neither part is well-determined.

    Attributes
    ----------
    over_rows, under_rows : (m,) ndarray of bool
    over_cols, under_cols : (n,) ndarray of bool
    """

    over_rows: Mask
    over_cols: Mask
    under_rows: Mask
    under_cols: Mask


def coarse_parts(rows: Ints, cols: Ints, match: Ints, n: int) -> CoarseParts:
    """Return what alternating paths reach from the free rows, and from the free columns.

    Parameters
    ----------
    rows, cols : (nnz,) ndarray of int
    match : (m,) ndarray of int
        A largest matching; the parts do not depend on which.
    n : int
        Number of columns.

    Returns
    -------
    CoarseParts

    References
    ----------
    A. Pothen, C.-J. Fan, Computing the block triangular form of a sparse matrix, ACM TOMS 16 (1990).

    Examples
    --------
    >>> parts = coarse_parts(np.array([0, 1]), np.array([0, 0]), np.array([0, -1]), 2)
    >>> parts.over_rows, parts.under_cols
    (array([ True,  True]), array([False,  True]))
    """
    owner = owners(match, n)
    owned, held = owner[cols] >= 0, match[rows] >= 0
    over_rows = reachable(rows[owned], owner[cols[owned]], match < 0)
    under_cols = reachable(cols[held], match[rows[held]], owner < 0)
    over_cols, under_rows = np.zeros(n, dtype=bool), np.zeros(match.size, dtype=bool)
    over_cols[match[over_rows & (match >= 0)]] = True
    under_rows[owner[under_cols & (owner >= 0)]] = True
    return CoarseParts(over_rows, over_cols, under_rows, under_cols)
