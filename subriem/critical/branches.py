"""The smooth branches of rest points that meet in one point, from zeros found around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from subriem.core.protocols import Array

#: Tangent spaces whose distance (largest sine) is below this are one; a direction is in a tangent space likewise.
SAME = 0.3
#: More branches than this for each dimension of their span are a cone.
MOST = 4


@dataclass(frozen=True, eq=False)
class Branch:
    """One of the manifolds that meet in a crossing.

    Attributes
    ----------
    dimension : int
    tangent : (n, dimension) ndarray
        Orthonormal basis of the tangent space: a part of the tangent cone.
    point : (n,) ndarray
        A rest point on it near the crossing.
    """

    dimension: int
    tangent: Array
    point: Array


def branches_at(
    z: Array,
    landed: Array,
    dimension_at: Callable[[Array], tuple[int, Array] | None],
    stays: Callable[[Array], bool],
) -> tuple[Branch, ...] | None:
    """Return the branches through z, or None if the set is no union of smooth ones.

    Parameters
    ----------
    z : (n,) ndarray
    landed : (N, n) ndarray
        Zeros around z.
    dimension_at : callable
        q -> dimension and tangent space at q, or None.
    stays : callable
        Unit vector u -> whether there is a zero near z + e u: a smooth branch leaves z on both sides.
    """
    found: list[Branch] = []
    unclear = 0
    for q in landed:
        towards = (q - z) / np.linalg.norm(q - z)
        if any(_in(towards, branch.tangent) for branch in found):
            continue
        local = dimension_at(q)
        if local is None:  # near where branches meet
            unclear += 1
            continue
        dimension, tangent = local
        if not dimension or not _in(towards, tangent) or not all(stays(u) for u in _round(towards, tangent)):
            return None
        found.append(Branch(dimension, tangent, q))
        if len(found) > MOST * z.size:
            return None
    if unclear > len(landed) / 2:
        return None
    if len(found) < 2:
        return None
    return tuple(sorted(found, key=lambda branch: -branch.dimension))


def _round(direction: Array, tangent: Array) -> Array:
    """Return unit vectors all around in a tangent space, the opposite of a direction first."""
    axes = np.vstack([tangent.T, -tangent.T])
    return np.vstack([-direction, axes]) if tangent.shape[1] > 1 else -direction[None]


def _in(direction: Array, tangent: Array) -> bool:
    return bool(np.linalg.norm(direction - tangent @ (tangent.T @ direction)) <= SAME)
