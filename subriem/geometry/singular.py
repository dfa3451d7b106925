"""Singular points of a path: where the growth vector differs from that of the path around."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from subriem.core.equilibrated import decide
from subriem.core.errors import ProblemError
from subriem.core.protocols import Array, Path
from subriem.core.validate import positive_integer
from subriem.geometry.dips import Dips
from subriem.geometry.frame import nearby
from subriem.geometry.growth import STEPS, Growth, layer_values, units
from subriem.geometry.subriemannian import SubRiemannian

#: Nodes between which singular points are told apart, at least.
NODES = 200
#: Places along the path, as shares of it, one of which is taken to be generic.
GENERIC = (0.1379, 0.3121, 0.5437, 0.7239, 0.9083)
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

    def __repr__(self) -> str:
        return f"<SingularPoint {self}>"

    def __str__(self) -> str:
        near = f" (nearly singular: {self.growth.nearly_singular})" if self.growth.nearly_singular else ""
        return f"t = {self.t:.10g}: growth {self.growth.vector}, around {self.around.vector}{near}"


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
    if not isinstance(structure, SubRiemannian) or not isinstance(path, Path):
        raise ProblemError(
            "singular_points takes a structure and a path in it",
            f"{type(structure).__name__}, {type(path).__name__}",
            "a SubRiemannian; a geodesic, a solution, or anything with grid, y and dense output",
            ".gradients of the structure of a map",
        )
    first, last = float(path.grid[0]), float(path.grid[-1])
    times = np.linspace(first, last, max(positive_integer(nodes, "nodes"), path.grid.size) + 1)
    around = _generic(structure, path, first, last, steps)
    candidates = [first, last]
    for step, rank in enumerate(around.vector, start=1):
        candidates += _span(structure, path, times, step, rank).located()
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


def _span(structure: SubRiemannian, path: Path, times: Array, step: int, rank: int) -> Dips:
    """Return V^step along a path, of generic rank `rank`, as matrices of brackets in units of their sizes along it."""
    brackets = structure.flags.brackets()
    places = times[0] + np.array(GENERIC) * (times[-1] - times[0])
    off = np.vstack([nearby(q) for q in path(places)])  # a bracket that vanishes on the path may not off it
    points, sizes = np.vstack([off, np.asarray(path(times), dtype=float)]), {}
    layers = [layer_values(brackets, s, points, sizes) for s in range(1, step + 1)]
    values = np.concatenate([layer for _, layer in layers], axis=2)
    scale = units(values)

    def matrices(at: Array) -> Array:
        columns = []
        for s, (kept, _) in enumerate(layers, start=1):
            words, function = brackets.layer(s)
            if function is not None and kept:
                chosen = [words.index(word) for word in kept]
                columns.append(
                    np.array([function(q).reshape((2 * structure.n, -1))[: structure.n, chosen] for q in at])
                )
        return np.concatenate(columns, axis=2) * scale

    scaled = values[len(off) :] * scale
    return Dips(matrices, path, times, rank, np.array([decide(m, structure.policy).sigma[rank - 1] for m in scaled]))
