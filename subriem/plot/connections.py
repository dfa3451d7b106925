"""Which components are joined by orbits, the highest cost on top."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from subriem.core.errors import ProblemError
from subriem.plot.equilibria import index_color, index_mark
from subriem.plot.style import THEORY, new_figure

if TYPE_CHECKING:
    from networkx import DiGraph

#: Costs this near to each other, relative to all of their range, are one level.
LEVEL = 1e-6


def connections_figure(graph: DiGraph, *, title: str = "") -> Any:
    """Plot a graph of connecting orbits: components by level of cost, arrows with the number of orbits seen.

    Parameters
    ----------
    graph : networkx.DiGraph
        Of `connecting_orbits`. Without costs the levels are those of the index.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ProblemError
        If it has no nodes, or they lack what `connecting_orbits` says of them.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import networkx
    >>> graph = networkx.DiGraph(shots=2, lost=0)
    >>> for node, index, cost in ((0, 1, 1.0), (1, 0, 0.0)):
    ...     graph.add_node(node, index=index, cost=cost, dimension=0)
    >>> graph.add_edge(0, 1, count=2)
    >>> [label.get_text() for label in connections_figure(graph).axes[0].get_yticklabels()]
    ['0', '1']
    """
    nodes = dict(graph.nodes(data=True))
    if not nodes or any(not {"index", "cost", "dimension"} <= set(data) for data in nodes.values()):
        got = "no nodes" if not nodes else "nodes without index, cost or dimension"
        raise ProblemError("this is no graph of connecting orbits", got, "components", "connecting_orbits(…)")
    by_cost = all(data["cost"] is not None for data in nodes.values())
    heights = {node: float(data["cost"] if by_cost else _number(data["index"])) for node, data in nodes.items()}
    near = LEVEL * (max(heights.values()) - min(heights.values()))
    levels = _levels(heights, near)
    places = {node: at for row, level in enumerate(levels) for node, at in _row(level, row)}
    widest = max(map(len, levels))
    figure, (axes,) = new_figure(max(5.6, 2.1 + 1.75 * widest), 1.6 + 1.15 * len(levels))
    for first, second, data in graph.edges(data=True):
        _arrow(axes, places[first], places[second], data["count"])
    for node, (x, y) in places.items():
        index = _number(nodes[node]["index"])
        axes.plot([x], [y], index_mark(index), color=index_color(index), ms=13, mec="white", mew=1.2, zorder=4)
        told = f"{node}: d = {_told(nodes[node]['dimension'])}\nindex {_told(nodes[node]['index'])}"
        axes.annotate(told, (x, y), (12, 0), textcoords="offset points", va="center", fontsize=9.5, zorder=5)
    lowest = [heights[level[0]] for level in levels]
    names = [f"{height:.4g}" if abs(height) > near else "0" for height in lowest]  # 1e-28 is roundoff beside 1
    axes.set_yticks(range(len(levels)), names)
    axes.set_xticks([])
    axes.grid(visible=False, axis="x")
    axes.set_xlim(-0.5 * widest - 0.1, 0.5 * widest + 0.5)
    axes.set_ylim(-0.5, len(levels) - 0.5)
    axes.set_ylabel("cost, by level" if by_cost else "index")
    seen = f"{graph.graph['shots']} orbits shot, {graph.graph['lost']} lost" if "shots" in graph.graph else ""
    axes.set_title(title or f"Connecting orbits ({seen})".removesuffix(" ()"), loc="left", fontsize=11.5)
    return figure


def _number(index: int | None) -> int:
    return -1 if index is None else int(index)


def _told(number: int | None) -> str:
    return "?" if number is None or number < 0 else str(number)


def _levels(heights: dict[Any, float], near: float) -> list[list[Any]]:
    """Return the nodes by height, from below, those of one height together."""
    order = sorted(heights, key=lambda node: heights[node])
    levels = [[order[0]]]
    for last, node in pairwise(order):
        if heights[node] - heights[last] > near:
            levels.append([])
        levels[-1].append(node)
    return levels


def _row(level: list[Any], row: int) -> list[tuple[Any, tuple[float, float]]]:
    """Return the nodes of a level with their places, rows shifted so that an arrow does not run through a node."""
    shift = -(len(level) - 1) / 2 + (0.22 if row % 2 else -0.22)
    return [(node, (number + shift, float(row))) for number, node in enumerate(sorted(level))]


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float], count: int) -> None:
    bend = 0.0 if abs(end[1] - start[1]) == 1 else 0.18
    look = {"arrowstyle": "-|>", "color": THEORY, "lw": 1.3, "shrinkA": 9, "shrinkB": 9}
    axes.annotate("", end, start, arrowprops={**look, "connectionstyle": f"arc3,rad={bend}"}, zorder=2)
    dx, dy = end[0] - start[0], end[1] - start[1]
    # the middle of the quadratic curve of arc3, a third of the way: there arrows to one node are apart
    at = (start[0] + 0.35 * dx + 0.45 * bend * dy, start[1] + 0.35 * dy - 0.45 * bend * dx)
    axes.annotate(
        str(count), at, ha="center", va="center", fontsize=9, color=THEORY, zorder=3,
        bbox={"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"},
    )  # fmt: skip
