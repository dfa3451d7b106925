"""Betti numbers over Z/2 of the flag complex of a graph: every clique is a simplex."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Graph = list[set[int]]


def flag_betti(neighbours: Graph, top: int) -> tuple[int, ...]:
    """Return b_0, …, b_top of the flag complex.

    Parameters
    ----------
    neighbours : list of set of int
        For each vertex the vertices it is joined to, itself not among them; changed in place: edges are removed that
        do not matter for the homotopy type.
    top : int
        Dimension up to which homology is wanted, at least 1.

    Returns
    -------
    tuple of int
        top + 1 numbers.

    References
    ----------
    J.-D. Boissonnat and S. Pritam, Edge collapse and persistence of flag complexes, SoCG 2020; C. Chen and M. Kerber,
    Persistent homology computation with a twist, EuroCG 2011.

    Examples
    --------
    >>> square = [{1, 3}, {0, 2}, {1, 3}, {2, 0}]
    >>> flag_betti(square, 1)
    (1, 1)
    """
    collapse(neighbours)
    simplices = _cliques(neighbours, top + 1)
    ranks = _boundary_ranks(simplices)
    return tuple(len(simplices[k]) - ranks[k] - ranks[k + 1] for k in range(top + 1))


def collapse(neighbours: Graph) -> None:
    """Remove dominated edges until there are none: uv with a w joined to u, v, and all they are both joined to.

    The link of such an edge is a cone with apex w, so that the homotopy type stays.
    """
    queue = deque((u, v) for u, mine in enumerate(neighbours) for v in mine if u < v)
    waiting = set(queue)
    while queue:
        edge = queue.popleft()
        waiting.discard(edge)
        u, v = edge
        if v not in neighbours[u]:
            continue
        common = neighbours[u] & neighbours[v]
        if not any(len(common - neighbours[w]) == 1 for w in common):  # w itself is not among its neighbours
            continue
        neighbours[u].discard(v)
        neighbours[v].discard(u)
        for w in common:  # only the links of these edges became smaller
            for other in ((min(u, w), max(u, w)), (min(v, w), max(v, w))):
                if other not in waiting:
                    waiting.add(other)
                    queue.append(other)


def _cliques(neighbours: Graph, top: int) -> list[list[tuple[int, ...]]]:
    """Return the cliques of 1, …, top + 1 vertices, each increasing."""
    later = [{w for w in mine if w > v} for v, mine in enumerate(neighbours)]
    found: list[list[tuple[int, ...]]] = [[(v,) for v in range(len(neighbours))]]
    open_: list[tuple[tuple[int, ...], set[int]]] = [((v,), later[v]) for v in range(len(neighbours))]
    for _ in range(top):
        open_ = [((*clique, w), more & later[w]) for clique, more in open_ for w in more]
        found.append([clique for clique, _ in open_])
    return found


def _boundary_ranks(simplices: list[list[tuple[int, ...]]]) -> list[int]:
    """Return the ranks over Z/2 of the boundaries of k-simplices for each k, and 0 after the last.

    From the highest dimension down: a simplex that is the pivot of a boundary is one itself, so that its own column is
    zero and need not be reduced.
    """
    ranks = [0] * (len(simplices) + 1)
    cleared: set[int] = set()
    for k in range(len(simplices) - 1, 0, -1):
        number = {simplex: index for index, simplex in enumerate(simplices[k - 1])}
        columns = (_faces(simplex, number) for i, simplex in enumerate(simplices[k]) if i not in cleared)
        cleared = _pivots(columns)
        ranks[k] = len(cleared)
    return ranks


def _faces(simplex: tuple[int, ...], number: dict[tuple[int, ...], int]) -> set[int]:
    return {number[simplex[:i] + simplex[i + 1 :]] for i in range(len(simplex))}


def _pivots(columns: Iterable[set[int]]) -> set[int]:
    """Return the last rows of a reduced basis of the columns, sets of the rows with a one."""
    reduced: dict[int, set[int]] = {}
    for column in columns:
        while column:
            last = max(column)
            if last not in reduced:
                reduced[last] = column
                break
            column = column ^ reduced[last]
    return set(reduced)
