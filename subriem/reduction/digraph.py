"""Directed graphs given by the tails and heads of their edges: reach, ordered components, longest paths."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, dijkstra

Ints = NDArray[np.integer[Any]]
Mask = NDArray[np.bool_]


def directed_graph(tails: Ints, heads: Ints, values: NDArray[Any], n: int) -> csr_array:
    """Return the matrix csgraph works on, n x n; values of repeated edges add up, and a stored 0 is an edge."""
    return csr_array((values, (tails, heads)), shape=(n, n))


def reachable(tails: Ints, heads: Ints, start: Mask) -> Mask:
    """Return which nodes can be reached from a set of nodes, these included.

    Examples
    --------
    >>> reachable(np.array([0, 1, 3]), np.array([1, 2, 2]), np.array([False, True, False, False]))
    array([False,  True,  True, False])
    """
    n, begin = start.size, np.flatnonzero(start)
    # one more node, from which all of `start` is one step away
    tails, heads = np.concatenate([tails, np.full(begin.size, n)]), np.concatenate([heads, begin])
    graph = directed_graph(tails, heads, np.ones(tails.size), n + 1)
    reached = np.zeros(n + 1, dtype=bool)
    reached[breadth_first_order(graph, n, return_predecessors=False)] = True
    return reached[:n]


def ordered_components(tails: Ints, heads: Ints, n: int) -> Ints:
    """Return the number of each node's strong component, such that edges lead from lower to higher numbers.

    Where the order is free, the component that holds the smallest node comes first.

    Parameters
    ----------
    tails, heads : (edges,) ndarray of int
    n : int
        Number of nodes.

    Returns
    -------
    (n,) ndarray of int

    Examples
    --------
    >>> ordered_components(np.array([2, 0, 1]), np.array([0, 1, 0]), 4)
    array([1, 1, 0, 2])
    """
    if n == 0:
        return np.zeros(0, dtype=np.int64)
    graph = directed_graph(tails, heads, np.ones(tails.size), n)
    count, labels = connected_components(graph, directed=True, connection="strong")
    smallest = np.full(count, n)
    np.minimum.at(smallest, labels, np.arange(n))
    between = labels[tails] != labels[heads]
    acyclic = directed_graph(labels[tails[between]], labels[heads[between]], np.ones(int(between.sum())), count)
    starts, heads_of, key = acyclic.indptr.tolist(), acyclic.indices.tolist(), smallest.tolist()
    entering = np.bincount(acyclic.indices, minlength=count).tolist()  # edges from components not yet numbered
    ready = [(key[c], c) for c in range(count) if not entering[c]]
    heapify(ready)
    number = np.empty(count, dtype=np.int64)
    for position in range(count):
        component = heappop(ready)[1]
        number[component] = position
        for follower in heads_of[starts[component] : starts[component + 1]]:
            entering[follower] -= 1
            if not entering[follower]:
                heappush(ready, (key[follower], follower))
    return number[labels]


def longest_paths(tails: Ints, heads: Ints, steps: Ints, potential: Ints) -> Ints:
    """Return the least c >= 0 with c_head >= c_tail + step along every edge.

    A potential p with step <= p_tail - p_head makes the longest paths shortest ones of lengths >= 0, as Dijkstra's
    algorithm wants them. It exists where no cycle has a positive sum of steps.

    Parameters
    ----------
    tails, heads, steps : (edges,) ndarray of int
        No edge twice.
    potential : (n,) ndarray of int

    Returns
    -------
    (n,) ndarray of int

    Examples
    --------
    >>> longest_paths(np.array([0, 1]), np.array([1, 2]), np.array([2, -1]), np.array([2, 0, 1]))
    array([0, 2, 1])
    """
    n, top = potential.size, potential.max(initial=0)
    # one more node, at the highest potential; from it an edge of step 0 to each node says c >= 0
    p = np.append(potential, top)
    tails, heads = np.concatenate([tails, np.full(n, n)]), np.concatenate([heads, np.arange(n)])
    steps = np.concatenate([steps, np.zeros(n, dtype=np.int64)])
    lengths = (p[tails] - p[heads] - steps).astype(float)  # integers: exact below 2^53
    distance = dijkstra(directed_graph(tails, heads, lengths, n + 1), indices=[n])[0, :n]
    return top - potential - distance.astype(np.int64)
