"""Singular points of a path: where the growth vector differs from that of the path around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import decide, singular_triplet
from subriem.core.protocols import Array, Path
from subriem.core.validate import positive_integer
from subriem.geometry.frame import nearby
from subriem.geometry.growth import STEPS, Growth, layer_values, units
from subriem.geometry.subriemannian import SubRiemannian

#: Nodes between which singular points are told apart, at least.
NODES = 200
#: Places along the path, as shares of it, one of which is taken to be generic.
GENERIC = (0.1379, 0.3121, 0.5437, 0.7239, 0.9083)
#: A singular value below this share of its neighbours' may vanish between them.
DIP = 0.6
#: Spacing of the points of a difference quotient, and the accuracy of a time, as shares of the path.
SPACING, TIME = 1e-3, 1e-14
#: Distance below which two times are one, as a share of the path.
SAME = 1e-7


@dataclass(frozen=True, eq=False)
class SingularPoint:
    """A point of a path at which brackets span less than around.

    Attributes
    ----------
    t : float
    q : (N,) ndarray
    growth : Growth
        At the point.
    around : Growth
        At a generic point of the path.
    """

    t: float
    q: Array
    growth: Growth
    around: Growth

    def __str__(self) -> str:
        return f"t = {self.t:.10g}: growth {self.growth.vector}, around {self.around.vector}"


def singular_points(
    structure: SubRiemannian, path: Path, *, nodes: int = NODES, steps: int = STEPS
) -> tuple[SingularPoint, ...]:
    """Return the points of a path at which the growth vector differs from the generic one along it.

    On a path that runs in the singular set there is nothing to report: generic is what holds at most points.

    Parameters
    ----------
    structure : SubRiemannian
    path : Path
        A geodesic, or any sampled curve with dense output.
    nodes : int
        The singular values that vanish are looked at on so many points or on the path's own; zeros closer than two
        of them count as one or may be missed.
    steps : int
        Fields in a bracket at most.

    Returns
    -------
    tuple of SingularPoint
        In the order of the path. A singular value that changes sign is located to about 1e-13 of the path, one that
        only touches zero to about 1e-9.

    Raises
    ------
    ProblemError
        If an argument does not fit.
    GeometryError
        If the fields are not defined on the path.

    Examples
    --------
    >>> import subriem as sr
    >>> grushin = sr.SubRiemannian.from_frame(lambda q: [[1, 0], [0, q[0]]], 2)
    >>> for point in grushin.shoot([-1, 0], [1, 0.5], 3.0).singular_points():
    ...     print(point)
    t = 0.927295218: growth (1, 2), around (2,)
    """
    first, last = float(path.grid[0]), float(path.grid[-1])
    times = np.linspace(first, last, max(positive_integer(nodes, "nodes"), path.grid.size) + 1)
    around = _generic(structure, path, first, last, steps)
    candidates = [first, last]
    for step, rank in enumerate(around.vector, start=1):
        span = _Span(structure, path, times, step, rank)
        candidates += [span.locate(place) for place in span.dips()]
    found: list[SingularPoint] = []
    for t in sorted(candidates, key=lambda t: abs(t - first)):
        if found and abs(t - found[-1].t) <= SAME * abs(last - first):
            continue
        q = np.asarray(path(t), dtype=float)
        growth = structure.growth(q, steps)
        if growth.vector != around.vector:
            found.append(SingularPoint(t, q, growth, around))
    return tuple(found)


def _generic(structure: SubRiemannian, path: Path, first: float, last: float, steps: int) -> Growth:
    """Return the growth at a generic point: ranks fall on closed sets, so that the largest are generic."""
    found = [structure.growth(path(first + share * (last - first)), steps) for share in GENERIC]
    length = max(growth.step for growth in found)
    return max(found, key=lambda growth: (*growth.vector, *[growth.vector[-1]] * (length - growth.step)))


class _Span:
    """V^s along a path, as a matrix of brackets in units of their sizes along it, and how near its rank is to falling.

    Parameters
    ----------
    times : (n,) ndarray
        Nodes.
    step : int
        s.
    rank : int
        The generic one.
    """

    def __init__(self, structure: SubRiemannian, path: Path, times: Array, step: int, rank: int) -> None:
        self.structure, self.path, self.times, self.step, self.rank = structure, path, times, step, rank
        places = times[0] + np.array(GENERIC) * (times[-1] - times[0])
        off = np.vstack([nearby(q) for q in path(places)])  # a bracket that vanishes on the path may not off it
        points, sizes = np.vstack([off, np.asarray(path(times), dtype=float)]), {}
        layers = [layer_values(structure.flags.brackets(), s, points, sizes) for s in range(1, step + 1)]
        values = np.concatenate([layer for _, layer in layers], axis=2)
        self._kept = [words for words, _ in layers]
        self._units = units(values)
        scaled = values[len(off) :] * self._units
        self.sizes = np.array([decide(matrix, structure.policy).sigma[rank - 1] for matrix in scaled])

    def dips(self) -> list[int]:
        """Return the inner nodes near which the singular value may vanish."""
        before, size, after = self.sizes[:-2], self.sizes[1:-1], self.sizes[2:]
        low = (size <= np.minimum(before, after)) & (size <= DIP * np.maximum(before, after))
        return [int(i) + 1 for i in np.flatnonzero(low)]

    def matrices(self, points: Array) -> Array:
        """Return the matrices at points, (len(points), N, count)."""
        columns, size = [], self.structure.n
        for step, kept in enumerate(self._kept, start=1):
            words, function = self.structure.flags.brackets().layer(step)
            if function is not None and kept:
                places = [words.index(word) for word in kept]
                columns.append(np.array([function(q).reshape((2 * size, -1))[:size, places] for q in points]))
        return np.concatenate(columns, axis=2) * self._units

    def slope(self, t: float) -> float:
        """Return the rate of change a^T M' b of the singular value forward, with its singular vectors a and b."""
        ends = self.times[0], self.times[-1]
        h = SPACING * (ends[1] - ends[0])
        centre = np.clip(t, min(ends) + 2 * abs(h), max(ends) - 2 * abs(h))
        offsets = np.arange(-2.0, 3.0)
        weights = _derivative_weights(offsets, (t - centre) / h) / abs(h)
        here, *around = self.matrices(np.asarray(self.path(np.append(t, centre + offsets * h)), dtype=float))
        _, a, b = singular_triplet(here, self.rank)
        return float(sum(w * (a @ m @ b) for w, m in zip(weights, around, strict=True)))

    def locate(self, place: int) -> float:
        """Return where the singular value is least near a node.

        It falls before and rises after, with a jump of its rate where it changes sign and without where it touches
        zero: in both cases the rate changes sign.
        """
        from scipy.optimize import brentq

        low, high = float(self.times[place - 1]), float(self.times[place + 1])
        if self.slope(low) >= 0 or self.slope(high) <= 0:
            return float(self.times[place])
        return float(brentq(self.slope, low, high, xtol=TIME * abs(self.times[-1] - self.times[0]), rtol=1e-15))


def _derivative_weights(offsets: Array, at: float) -> Array:
    """Return the weights of the derivative at a place of the polynomial through values at the offsets."""
    powers = np.arange(offsets.size)
    rates = np.where(powers > 0, powers * at ** np.maximum(powers - 1, 0), 0.0)
    return np.asarray(np.linalg.solve(np.vander(offsets, increasing=True).T, rates), dtype=float)
