"""Topology of a manifold from charts on it: Betti numbers over Z/2, Euler characteristic, length or area."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from subriem.core.errors import ProblemError
from subriem.core.protocols import Array
from subriem.core.validate import positive, real_array
from subriem.critical.homology import flag_betti
from subriem.critical.measure import area, length

#: Reaches of the complex, in units of h, in the order in which they are tried. At 1.5 h there are spurious loops.
SCALES = (1.75, 2.0, 2.25)
#: A chord in a sheet makes at most this angle with the tangent spaces at its ends, and these with each other (rad).
CHORD, TILT = 0.7, 1.2
#: How far, in units of h, the chord may lie off the mean of its images in the two tangent spaces. On a sheet it is of
#: third order in the chord; between parallel sheets it is their distance.
SHEET = 0.3


@dataclass(frozen=True, eq=False)
class Topology:
    """What charts tell of the topology of the manifold they lie on; made by `topology`.

    Attributes
    ----------
    betti : tuple of int, or None
        b_0, …, b_k over Z/2; None where no two neighbouring scales agree, and for k > 2.
    euler : int or None
        b_0 - b_1 + b_2.
    measure : float or None
        Number of points, length or area (k = 0, 1, 2), in units of z; where there is a boundary, that up to the last
        charts. None for k > 2.
    agreed : bool
        Whether two neighbouring scales gave these Betti numbers.
    scales : tuple of (float, tuple of int)
        Each reach tried, in units of z, with the Betti numbers there.
    """

    betti: tuple[int, ...] | None
    euler: int | None
    measure: float | None
    agreed: bool
    scales: tuple[tuple[float, tuple[int, ...]], ...]


def topology(points: Array, tangents: Array, h: float) -> Topology:
    """Return Betti numbers, Euler characteristic and measure of a manifold sampled by charts.

    Parameters
    ----------
    points : (N, n) ndarray
        Centres of the charts, about 0.7 h to 1.4 h from each other, and none of the manifold farther than about h from
        the next. A boundary is allowed.
    tangents : (N, n, k) ndarray
        Orthonormal bases of the tangent spaces there.
    h : float
        Spacing of the charts, in units of z.

    Returns
    -------
    Topology

    Raises
    ------
    ProblemError
        If an array is not finite or has another shape, or h is not positive.

    Notes
    -----
    The complex is the flag complex of the charts that are nearer than a reach and of one sheet: the tangent spaces
    nearly agree and the chord lies in both. By the theorem of Latschev (Arch. Math. 77 (2001) 522) it has the homotopy
    type of the manifold where the charts are dense beside its curvature. This is not known of them: the answer is
    given where two neighbouring reaches give the same. Length and area are of fourth order in h.

    Examples
    --------
    >>> import numpy as np
    >>> angle = np.arange(24) * np.pi / 12
    >>> circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> tangents = np.stack([-np.sin(angle), np.cos(angle)], axis=1)[:, :, None]
    >>> found = topology(circle, tangents, np.pi / 12)
    >>> found.betti, found.euler, round(found.measure / np.pi, 9)
    ((1, 1), 0, 2.0)
    """
    points, tangents, h = _checked(points, tangents, h)
    count, k = len(points), tangents.shape[2]
    if k == 0:
        return Topology((count,), count, float(count), True, ())
    if k > 2:
        return Topology(None, None, None, False, ())
    pairs = sheet_pairs(points, tangents, h)
    apart = np.linalg.norm(points[pairs[:, 1]] - points[pairs[:, 0]], axis=1)
    found: list[tuple[float, tuple[int, ...]]] = []
    for scale in SCALES:
        joined: list[set[int]] = [set() for _ in range(count)]
        for i, j in pairs[apart <= scale * h].tolist():
            joined[i].add(j)
            joined[j].add(i)
        found.append((scale * h, flag_betti(joined, k)))
        if len(found) > 1 and found[-1][1] == found[-2][1]:
            break
    agreed = any(first[1] == second[1] for first, second in pairwise(found))
    betti = found[-1][1] if agreed else None
    euler = sum((-1) ** i * b for i, b in enumerate(betti)) if betti is not None else None
    measure = (length if k == 1 else area)(points, tangents, pairs, h)
    return Topology(betti, euler, measure, agreed, tuple(found))


def sheet_pairs(points: Array, tangents: Array, h: float) -> NDArray[np.intp]:
    """Return the pairs i < j of charts of one sheet within the largest reach, shape (M, 2)."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(points).query_pairs(max(SCALES) * h, output_type="ndarray")
    here, there = tangents[pairs[:, 0]], tangents[pairs[:, 1]]
    chord = points[pairs[:, 1]] - points[pairs[:, 0]]
    size = np.linalg.norm(chord, axis=1)
    tilt = tangents.shape[2] - (np.einsum("pna,pnb->pab", here, there) ** 2).sum(axis=(1, 2))  # sum of squared sines
    images = [np.einsum("pna,pma,pm->pn", basis, basis, chord) for basis in (here, there)]
    within = np.min([np.linalg.norm(image, axis=1) for image in images], axis=0)
    mean = images[0] + images[1]
    along = np.einsum("pn,pn->p", chord, mean) / np.maximum(np.linalg.norm(mean, axis=1), np.finfo(float).tiny)
    off = np.sqrt(np.maximum(size**2 - along**2, 0.0))
    return pairs[(tilt <= np.sin(TILT) ** 2) & (within >= np.cos(CHORD) * size) & (off <= SHEET * h)]


def _checked(points: Array, tangents: Array, h: float) -> tuple[Array, Array, float]:
    points = real_array(points, "points", ndim=2)
    shape = np.shape(tangents)
    if len(shape) != 3 or shape[:2] != points.shape or shape[2] > points.shape[1]:
        raise ProblemError(
            "the tangents do not fit the points",
            f"tangents of shape {shape}, points of shape {points.shape}",
            "shape (N, n, k), k <= n",
            "one orthonormal basis (n, k) for each point",
        )
    tangents = real_array(tangents, "tangents") if shape[2] else np.zeros(shape)
    return points, tangents, positive(h, "h")
