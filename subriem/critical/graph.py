"""Which components of rest points are joined by orbits: shot along unstable directions, so a lower bound."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.rank import DEFAULT_RANK, RankPolicy
from subriem.core.validate import positive, positive_integer
from subriem.critical.component import Component
from subriem.critical.legs import Follow
from subriem.critical.problem import RestProblem
from subriem.critical.stability import unstable_directions

if TYPE_CHECKING:
    from networkx import DiGraph

#: Length of the first step off a component, relative to the spacing of its charts.
OFFSET = 0.01
#: Speed, relative to the largest on the orbit, at which it has come to rest.
AT_REST = 1e-6
#: Legs of an orbit, each twice as long as the one before; the first lasts LEAVE times as long as the way off takes.
LEGS, LEAVE = 14, 2.0
#: An end belongs to a chart within REACH along it and OFF across it, in units of the spacing.
REACH, OFF = 1.5, 0.3
#: What is told of a component at its node.
NODE = ("dimension", "index", "cost", "betti", "margin", "verdict")


@dataclass
class _Edge:
    """Orbits from one component to another."""

    direction: tuple[float, ...]
    count: int = 0
    drops: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Shot:
    """An orbit that is to be followed: from a point near a rest point of a component, the first leg `time` long."""

    source: int
    rest: Array
    way: Array
    start: Array
    time: float


def connecting_orbits(
    problem: RestProblem,
    components: Sequence[Component],
    *,
    charts: int = 4,
    directions: int = 4,
    radius: float | None = None,
    rank: RankPolicy = DEFAULT_RANK,
    seed: int = 0,
    executor: Executor | None = None,
) -> DiGraph:
    """Follow the motion from components along unstable directions, to the components where it comes to rest.

    Parameters
    ----------
    problem : RestProblem
        With `follow` and `linearize`.
    components : sequence of Component
    charts : int
        How many points of a component are taken, at most.
    directions : int
        Random directions at each, beside both signs of each unstable eigenvector.
    radius : float, optional
        Orbits that leave the ball of this radius are lost; ten times that of the components, and at least ten, unless
        given.
    rank : RankPolicy
    seed : int
        Of the random directions.
    executor : concurrent.futures.Executor, optional
        For the orbits; a pool of processes needs a problem that can be pickled. The answer is the same.

    Returns
    -------
    networkx.DiGraph
        Nodes are the positions in `components`, with `dimension`, `index`, `cost`, `betti`, `margin` and `verdict`;
        edges hold the `count` of orbits, the `direction` of one of them and the mean `drop` of the cost (None without
        one). In `.graph` are `shots`, and `lost`, those that came to rest at no component. An edge that is not there
        may exist: directions are samples, and orbits to a saddle fill no open set of them.

    Raises
    ------
    ProblemError
        If the motion cannot be followed, or an argument cannot be meant.

    Notes
    -----
    An orbit starts 0.01 h off its component, with an error of the square of it, also in constraints phi = 0, which a
    constrained flow keeps. A DAE starts at a consistent point there, with derivatives 0 where it is of second order.

    Examples
    --------
    >>> import subriem as sr
    >>> from subriem.critical.adapters import rest_problem
    >>> pitchfork = rest_problem(sr.map(lambda x: [x[0] - x[0] ** 3], 1), field=True)
    >>> rests = sr.equilibria(pitchfork, starts=[[-0.9], [0.1], [0.9]]).components
    >>> [(round(abs(float(one.point[0])), 9), one.index) for one in rests]
    [(1.0, 0), (1.0, 0), (0.0, 1)]
    >>> sorted(connecting_orbits(pitchfork, rests).edges)
    [(2, 0), (2, 1)]
    """
    import networkx

    if problem.follow is None:
        raise ProblemError(
            "orbits of this problem cannot be followed",
            "an equation F(z) = 0 alone, or a numeric DAE",
            "a flow, a DAE of expressions, or a map with field=True",
            "rest_problem(map, field=True) if F is the velocity",
        )
    charts, directions = positive_integer(charts, "charts"), positive_integer(directions, "directions", or_zero=True)
    far = max((float(np.linalg.norm(one.points, axis=1).max()) for one in components), default=0.0)
    outside = positive(radius, "radius") if radius is not None else 10 * max(1.0, far)
    shots = list(_shots(problem, components, charts, directions, rank, np.random.default_rng(seed)))
    fly = partial(_flown, problem.follow, outside)
    ends = list(executor.map(fly, shots) if executor is not None else map(fly, shots))
    targets = [home(components, end) if end is not None else None for end in ends]
    found: Any = networkx.DiGraph(shots=len(shots), lost=targets.count(None))
    for i, one in enumerate(components):
        found.add_node(i, **{name: getattr(one, name) for name in NODE})
    for pair, edge in _edges(problem.cost, shots, ends, targets).items():
        drop = float(np.mean(edge.drops)) if edge.drops else None
        found.add_edge(*pair, count=edge.count, direction=edge.direction, drop=drop)
    return found


def _shots(
    problem: RestProblem, components: Sequence[Component], charts: int, directions: int, rank: RankPolicy,
    rng: np.random.Generator,
) -> Iterator[_Shot]:  # fmt: skip
    for source, one in enumerate(components):
        for i in np.unique(np.linspace(0, len(one.points) - 1, charts).astype(int)) if one.index != 0 else ():
            unstable, rates = unstable_directions(problem, one.points[i], one.tangents[i], rank)
            for way in _ways(unstable, directions, rng):
                start = one.points[i] + OFFSET * one.h * way
                yield _Shot(source, one.points[i], way, start, LEAVE * float(np.log(1 / OFFSET) / rates[-1]))


def _flown(follow: Follow, radius: float, shot: _Shot) -> Array | None:
    return _rest(follow, shot.start, shot.time, radius)


def _edges(
    cost: Callable[[Array], float] | None, shots: Sequence[_Shot], ends: Sequence[Array | None],
    targets: Sequence[int | None],
) -> dict[tuple[int, int], _Edge]:  # fmt: skip
    edges: dict[tuple[int, int], _Edge] = {}
    for shot, end, target in zip(shots, ends, targets, strict=True):
        if end is None or target is None:
            continue
        edge = edges.setdefault((shot.source, target), _Edge(tuple(shot.way.tolist())))
        edge.count += 1
        if cost is not None:
            edge.drops.append(cost(shot.rest) - cost(end))
    return edges


def _ways(unstable: Array, directions: int, rng: np.random.Generator) -> list[Array]:
    """Return both signs of each unstable direction, and random combinations of several, of length one."""
    ways = [sign * column for column in unstable.T for sign in (1.0, -1.0)]
    if unstable.shape[1] > 1:
        mixed = (unstable @ rng.standard_normal((unstable.shape[1], directions))).T
        ways += list(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
    return ways


def _rest(follow: Follow, start: Array, time: float, radius: float) -> Array | None:
    """Return where the orbit comes to rest, or None if it leaves the ball or does not within all legs."""
    state, fastest = start, 0.0
    for _ in range(LEGS):
        leg = follow(state, time)
        if leg is None or np.linalg.norm(leg.state[: start.size]) > radius:
            return None
        state, fastest = leg.state, max(fastest, leg.fastest)
        if leg.last <= AT_REST * fastest:
            return state[: start.size]
        time *= 2
    return None


def home(components: Sequence[Component], point: Array) -> int | None:
    """Return the component to whose charts a point belongs, the nearest across them, or None.

    Parameters
    ----------
    components : sequence of Component
    point : (n,) ndarray

    Returns
    -------
    int or None
    """
    best, chosen = np.inf, None
    for i, one in enumerate(components):
        away = point - one.points
        along = np.einsum("pna,pn->pa", one.tangents, away)
        across = np.linalg.norm(away - np.einsum("pna,pa->pn", one.tangents, along), axis=1)
        near = across[(np.linalg.norm(along, axis=1) <= REACH * one.h) & (across <= OFF * one.h)]
        if near.size and near.min() < best:
            best, chosen = float(near.min()), i
    return chosen


def _plain(graph: DiGraph) -> DiGraph:
    """Return a copy whose attributes are finite numbers and strings; what is none of these is left out."""
    import networkx

    def plain(attributes: dict[str, Any]) -> dict[str, Any]:
        unknown = [name for name, value in attributes.items() if isinstance(value, float) and not np.isfinite(value)]
        kept = {name: value for name, value in attributes.items() if value is not None and name not in unknown}
        return {name: json.dumps(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    found: Any = networkx.DiGraph(**plain(graph.graph))
    found.add_nodes_from((node, plain(data)) for node, data in graph.nodes(data=True))
    found.add_edges_from((a, b, plain(data)) for a, b, data in graph.edges(data=True))
    return found


def write_graphml(graph: DiGraph, path: str | os.PathLike[str]) -> None:
    """Write a graph of `connecting_orbits` as GraphML; tuples become JSON text."""
    import networkx

    networkx.write_graphml(_plain(graph), path)


def graph_json(graph: DiGraph) -> str:
    """Return a graph of `connecting_orbits` as JSON text, in the node-link form of networkx."""
    import networkx

    return json.dumps(networkx.node_link_data(_plain(graph), edges="edges"))
