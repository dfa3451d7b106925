"""Curves sampled for quadrature: points, tangents and weights on every interval between nodes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Path
from subriem.core.validate import real_array

#: Points of an interval: a dense output of degree 8 is differentiated exactly.
POINTS = 9
#: Intervals at least, so that a curve of a few long steps is resolved.
INTERVALS = 24


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve theta(t) on the points of Lobatto's rule of each interval.

    Attributes
    ----------
    t : (I, 9) ndarray
    y : (I, 9, K) ndarray
    tangent : (I, 9, K) ndarray
        dy/dt.
    polygon : bool
        Whether it joins iterates by straight steps; t then counts them.
    """

    t: Array
    y: Array
    tangent: Array
    polygon: bool

    @property
    def lengths(self) -> Array:
        """Lengths of the intervals in t, (I,)."""
        return self.t[:, -1] - self.t[:, 0]

    def until(self, interval: int, share: float) -> Curve:
        """Return the part up to a share of an interval, without that interval if the share is 0."""
        if share == 0.0:
            return Curve(self.t[:interval], self.y[:interval], self.tangent[:interval], self.polygon)
        places = share * (lobatto()[0] + 1) - 1
        weights = _interpolation(places)
        t, y, tangent = (
            np.concatenate([values[:interval], (weights @ values[interval])[None]])
            for values in (self.t, self.y, self.tangent)
        )
        return Curve(t, y, tangent, self.polygon)

    def point(self, interval: int, share: float) -> Array:
        """Return the point at a share of an interval."""
        return (_interpolation(np.array([2 * share - 1])) @ self.y[interval])[0]

    def integral(self, values: Array) -> tuple[float, float]:
        """Return the integral over t of values (I, 9), and an estimate of its error by a rule of lower order."""
        fine = self.lengths / 2 @ (values @ lobatto()[1])
        coarse = self.lengths / 2 @ (values @ _embedded())
        return float(fine), abs(float(fine - coarse))

    def flat(self, values: Array) -> Array:
        """Return values (I, 9, …) along the curve, points shared by two intervals once."""
        return np.concatenate([values[:, :-1].reshape((-1, *values.shape[2:])), values[-1:, -1]])


@cache
def lobatto() -> tuple[Array, Array, Array]:
    """Return Lobatto's nodes on [-1, 1], weights, and the matrix of derivatives of interpolants at the nodes."""
    last = [0] * (POINTS - 1) + [1]
    inner = np.sort(legendre.legroots(legendre.legder(last)).real)
    nodes = np.concatenate([[-1.0], inner, [1.0]])
    weights = 2 / (POINTS * (POINTS - 1) * legendre.legval(nodes, last) ** 2)
    basis = legendre.legvander(nodes, POINTS - 1)
    slopes = np.column_stack([legendre.legval(nodes, legendre.legder(row)) for row in np.eye(POINTS)])
    return nodes, weights, np.asarray(np.linalg.solve(basis.T, slopes.T).T, dtype=float)


@cache
def _embedded() -> Array:
    """Return the weights of the rule on the same nodes without the middle one: of lower order."""
    nodes, _, _ = lobatto()
    used = np.delete(np.arange(POINTS), POINTS // 2)
    moments = np.array([2 / (k + 1) if k % 2 == 0 else 0.0 for k in range(used.size)])
    weights = np.zeros(POINTS)
    weights[used] = np.linalg.solve(np.vander(nodes[used], increasing=True).T, moments)
    return weights


def sampled(path: Any, size: int, name: str) -> Curve:
    """Return a `Path`, or an array of iterates (m, size), m >= 2, as a curve.

    Raises
    ------
    ProblemError
        If it is neither, or of another dimension.
    """
    if isinstance(path, Path):
        return _of_path(path, size, name)
    points = real_array(path, name, ndim=2)
    if points.shape[1] != size or points.shape[0] < 2:
        raise ProblemError(
            f"{name} does not fit the structure", f"shape {points.shape}", f"(m, {size}), m >= 2", "one row an iterate"
        )
    steps = np.diff(points, axis=0)
    if not steps.any():
        raise ProblemError(f"{name} does not move", f"{points.shape[0]} equal points", "a curve", "other iterates")
    share = (lobatto()[0] + 1) / 2
    y = points[:-1, None] + share[:, None] * steps[:, None]
    t = np.arange(steps.shape[0])[:, None] + share
    return Curve(t, y, np.repeat(steps[:, None], POINTS, axis=1), True)


def _of_path(path: Path, size: int, name: str) -> Curve:
    nodes, _, derivative = lobatto()
    grid = np.asarray(path.grid, dtype=float)
    grid = grid[np.isfinite(grid)]
    if path.y.ndim != 2 or path.y.shape[1] != size or grid.size < 2:
        raise ProblemError(
            f"{name} does not fit the structure", f"points {path.y.shape}", f"(m, {size}), m >= 2", "a path of it"
        )
    parts = int(np.ceil(INTERVALS / (grid.size - 1)))
    share = np.arange(parts) / parts
    ends = np.append((grid[:-1, None] + share * np.diff(grid)[:, None]).ravel(), grid[-1])
    half = np.diff(ends) / 2
    t = (ends[:-1] + half)[:, None] + half[:, None] * nodes
    t[:, 0], t[:, -1] = ends[:-1], ends[1:]
    y = np.asarray(path(t.ravel()), dtype=float).reshape((*t.shape, size))
    tangent = np.einsum("ij,njk->nik", derivative, y) / half[:, None, None]
    return Curve(t, y, tangent, False)


def resampled(curve: Curve, arc: Array, values: Array, count: int) -> Array:
    """Return values (I, 9, …) at equal shares of an arc length with rates `arc` (I, 9), shape (count, …).

    The places are found to interpolation accuracy, the values there are those of the interpolant: on the curve.
    """
    _, _, derivative = lobatto()
    inner = np.linalg.inv(derivative[1:, 1:])  # integrals from -1 to the other nodes
    within = np.concatenate([np.zeros((arc.shape[0], 1)), arc[:, 1:] @ inner.T], axis=1) * curve.lengths[:, None] / 2
    before = np.concatenate([[0.0], np.cumsum(within[:, -1])])
    total = curve.flat(before[:-1, None] + within)
    places = np.interp(np.linspace(0, total[-1], count), total, curve.flat(curve.t))
    left = np.clip(np.searchsorted(curve.t[:, 0], places, side="right") - 1, 0, curve.t.shape[0] - 1)
    local = 2 * (places - curve.t[left, 0]) / curve.lengths[left] - 1
    return np.einsum("cj,cj...->c...", _interpolation(local), values[left])


def _interpolation(places: Array) -> Array:
    """Return the weights (m, 9) of interpolants of values at Lobatto's nodes at places in [-1, 1]."""
    vander = legendre.legvander(lobatto()[0], POINTS - 1)
    return np.asarray(np.linalg.solve(vander.T, legendre.legvander(places, POINTS - 1).T).T, dtype=float)


def polyline_distances(points: Array, line: Array) -> Array:
    """Return the distance of each point (m, K) from a polyline (s, K)."""
    nearest = np.full(points.shape[0], np.inf)
    for start, end in pairwise(line):
        along, away = end - start, points - start
        square = float(along @ along)
        share = np.clip(away @ along / square, 0.0, 1.0) if square > 0 else np.zeros(points.shape[0])
        nearest = np.minimum(nearest, np.linalg.norm(away - share[:, None] * along, axis=1))
    return nearest


def hausdorff(one: Array, other: Array) -> float:
    """Return the Hausdorff distance of two polylines, from their vertices."""
    return float(max(polyline_distances(one, other).max(), polyline_distances(other, one).max()))


def frechet(one: Array, other: Array) -> float:
    """Return the discrete Frechet distance of two sequences of points (Eiter and Mannila 1994)."""
    apart = np.array([np.linalg.norm(other - point, axis=1) for point in one])
    reach = np.maximum.accumulate(apart[0])
    for row in apart[1:]:
        through = np.minimum(reach, np.concatenate([[np.inf], reach[:-1]]))
        last, found = np.inf, np.empty_like(row)
        for j, distance in enumerate(row):
            last = max(distance, min(through[j], last))
            found[j] = last
        reach = found
    return float(reach[-1])
