"""A curve of charts in order, and points on it between them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from subriem.core.protocols import Array
from subriem.critical.charts import Charts
from subriem.critical.measure import links

#: Pieces of a curve between two charts; even, so that one end of a piece is in the middle.
PIECES = 8


@dataclass(frozen=True, eq=False)
class Run:
    """A connected curve; made by `runs`.

    Attributes
    ----------
    charts : (C,) ndarray of int
        Numbers of its charts in order, the first again at the end of a closed curve.
    points : (P, n) ndarray
        On the curve, with its charts at every eighth.
    nearest : (P - 1,) ndarray of int
        The chart that the piece from a point to the next belongs to.
    """

    charts: NDArray[np.intp]
    points: Array
    nearest: NDArray[np.intp]

    @property
    def closed(self) -> bool:
        """Whether it comes back to its first chart."""
        return len(self.charts) > 2 and self.charts[0] == self.charts[-1]

    @property
    def arc(self) -> Array:
        """The arc length at each chart, (C,), from the first one."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=1)
        return np.concatenate([[0.0], np.cumsum(steps)])[::PIECES]

    def spread(self, values: Array) -> Array:
        """Return at each point a number that is known at the charts."""
        places = np.arange(len(self.charts)) * PIECES
        return np.interp(np.arange(len(self.points)), places, values[self.charts])

    def stretches(self, values: NDArray[np.intp]) -> Iterator[tuple[slice, int]]:
        """Yield the points along which a value of the charts stays, with the number of one of these charts."""
        own = values[self.nearest]
        breaks = (np.flatnonzero(own[1:] != own[:-1]) + 1).tolist()
        for first, last in zip([0, *breaks], [*breaks, len(own)], strict=True):
            yield slice(first, last + 1), int(self.nearest[first])


def runs(charts: Charts, breaks: Array | None = None) -> list[Run]:
    """Return the curves that charts of dimension 1 lie on.

    Parameters
    ----------
    charts : Charts
    breaks : (B, n) ndarray, optional
        Points where the motion changes: there one chart's part of the curve ends and the next one's begins, elsewhere
        half way.

    Returns
    -------
    list of Run
    """
    beside = _beside(charts)
    found = []
    ends = sorted(range(len(charts)), key=lambda i: (len(beside[i]) == 2, i))  # open curves from one of their ends
    left = {i: set(others) for i, others in beside.items()}
    for start in ends:
        if left.get(start):
            found.append(_run(charts, _walk(left, start), breaks))
    return found


def _beside(charts: Charts) -> dict[int, set[int]]:
    """Return for each chart the next ones along its curve."""
    beside: dict[int, set[int]] = defaultdict(set)
    for i, j in links(charts.points, charts.tangents, charts.edges()).tolist():
        beside[i].add(j)
        beside[j].add(i)
    return beside


def _walk(left: dict[int, set[int]], start: int) -> list[int]:
    """Return charts in order from a start along edges that are left; these are taken."""
    order = [start]
    while onward := left[order[-1]]:
        step = min(onward)
        onward.discard(step)
        left[step].discard(order[-1])
        order.append(step)
    return order


def _run(charts: Charts, order: list[int], breaks: Array | None) -> Run:
    points, nearest = [charts.points[order[:1]]], []
    for i, j in pairwise(order):
        between = _hermite(charts, i, j)
        switch = PIECES // 2
        if breaks is not None and len(breaks):
            away = np.linalg.norm(between[:, None] - breaks, axis=2)
            place, which = np.unravel_index(np.argmin(away), away.shape)
            if away[place, which] <= np.linalg.norm(between[1] - between[0]):
                switch = int(place)
        points.append(between[1:])
        nearest += [i] * switch + [j] * (PIECES - switch)
    return Run(np.array(order), np.concatenate(points), np.array(nearest, dtype=int))


def _hermite(charts: Charts, i: int, j: int) -> Array:
    """Return points of the cubic that has the ends and the tangents of two charts, (PIECES + 1, n)."""
    chord = charts.points[j] - charts.points[i]
    first, last = (charts.tangents[k, :, 0] for k in (i, j))
    first, last = (np.copysign(np.linalg.norm(chord), t @ chord) * t for t in (first, last))
    s = np.linspace(0.0, 1.0, PIECES + 1)[:, None]
    return np.asarray(
        charts.points[i] + s * first + s**2 * (3 * chord - 2 * first - last) + s**3 * (first + last - 2 * chord)
    )
